"""The instance metadata service of EC2, version 2, as its documentation tells of it: a token first (PUT, with a time to live), then everything
with that token; answers that go no further than one hop."""
import http.server
import json
import secrets
import socket
import threading
import time

ROLE = "pictures-reader"
LIST = "/latest/meta-data/iam/security-credentials/"


class Metadata:
    """credentials() says what is given out; `mode` is how it misbehaves: silent, cut, empty, nonsense, huge, no role, or None."""

    def __init__(self, credentials):
        self.credentials, self.mode, self.seen, self.tokens = credentials, None, [], {}
        self.refused_tokens = 0  # so many of the next tokens are not good from the beginning
        self.lock, self.ends = threading.Lock(), threading.Event()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                self.request.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
                super().setup()

            def log_message(self, *_):
                pass

            def say(self, status, text=""):
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(body)

            def handle_any(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with service.lock:
                    service.seen.append((self.command, self.path, dict(self.headers)))
                if service.mode == "silent":
                    service.ends.wait(30)
                if service.mode in ("silent", "cut"):
                    self.close_connection = True
                    return
                self.say(*service.answer(self.command, self.path, self.headers))

            do_GET = do_PUT = do_POST = do_HEAD = handle_any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, method, path, headers):
        if path == "/latest/api/token":
            return self.new_token(method, headers)
        token = headers.get("X-aws-ec2-metadata-token")
        if self.tokens.get(token, 0) < time.monotonic():
            return 401, ""
        if method != "GET":
            return 405, ""
        if self.mode == "huge":
            return 200, "x" * (1 << 20)
        if path == LIST:
            return (404, "") if self.mode == "no role" else (200, ROLE)
        if path != LIST + ROLE:
            return 404, ""
        if self.mode in ("empty", "nonsense"):
            return 200, {"empty": "", "nonsense": '{"Code": "Success", "AccessKeyId": 7}'}[self.mode]
        return 200, json.dumps({"Code": "Success", "LastUpdated": "2026-11-21T08:00:00Z", "Type": "AWS-HMAC", **self.credentials()})

    def new_token(self, method, headers):
        life = headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if method != "PUT":
            return 405, ""
        if "X-Forwarded-For" in headers:
            return 403, ""
        if not life.isdigit() or not 1 <= int(life) <= 21600:
            return 400, ""
        token = secrets.token_urlsafe(40)
        with self.lock:
            bad = self.refused_tokens > 0
            self.refused_tokens -= bad
            self.tokens[token] = 0 if bad else time.monotonic() + int(life)
        return 200, token

    def asked(self, path=LIST + ROLE):
        with self.lock:
            return [headers for _, at, headers in self.seen if at == path]

    def close(self):
        self.ends.set()
        self.server.shutdown()
        self.server.server_close()


def stamp(seconds):
    """The moment so many seconds from now, as Expiration is written."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
