"""An S3 store in memory, on 127.0.0.1: lists, gets (whole, first bytes, on conditions) and puts, also in parts. It checks each signature by the
algorithm as it is published, knows one pair of keys, and can be told to fail."""
import hashlib
import hmac
import http.server
import re
import threading
import urllib.parse
import xml.sax.saxutils

ACCESS, SECRET, REGION, BUCKET = "AKIDTEST", "secret/of+the=house", "eu-test-1", "house"
PAGE = 2  # objects per page of a listing: every listing has several


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(handler, payload):
    """What the Authorization header of this request has to end with."""
    fields = dict(part.strip().split("=", 1) for part in
                  handler.headers["Authorization"].split(" ", 1)[1].split(","))
    names = fields["SignedHeaders"].split(";")
    path, _, query = handler.path.partition("?")
    canonical = "\n".join([handler.command, path, query,
                           *(f"{name}:{handler.headers[name].strip()}" for name in names), "",
                           fields["SignedHeaders"], payload])
    moment, scope = handler.headers["x-amz-date"], fields["Credential"].split("/", 1)[1]
    text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + SECRET.encode()
    for part in scope.split("/"):
        key = sign(key, part)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), fields["Signature"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status, code):
        self.answer(status, f"<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>".encode())

    def begin(self, body=b""):
        """The key that is asked for; None: it has been answered."""
        store = self.server.store
        store.asked.append(f"{self.command} {self.path}")
        payload = hashlib.sha256(body).hexdigest()
        wanted, said = signature(self, payload)
        if self.headers["x-amz-content-sha256"] != payload or wanted != said:
            self.fail(403, "SignatureDoesNotMatch")
            return None
        if store.failures > 0:
            store.failures -= 1
            self.fail(503, "SlowDown")
            return None
        path = urllib.parse.unquote(self.path.partition("?")[0], errors="surrogateescape")
        if not path.startswith(f"/{BUCKET}/"):
            self.fail(404, "NoSuchBucket")
            return None
        return path[len(BUCKET) + 2:]

    def do_GET(self):
        key = self.begin()
        if key is None:
            return
        store, query = self.server.store, urllib.parse.parse_qs(self.path.partition("?")[2], keep_blank_values=True)
        if key == "":
            self.list(query)
        elif key not in store.objects:
            self.fail(404, "NoSuchKey")
        else:
            data, etag = store.objects[key], store.etag(key)
            if self.headers.get("If-Match", etag) != etag:
                self.fail(412, "PreconditionFailed")
                return
            part = re.fullmatch(r"bytes=0-(\d+)", self.headers.get("Range", ""))
            first = data[:int(part[1]) + 1] if part else data
            headers = [("ETag", etag)]
            if part:
                headers.append(("Content-Range", f"bytes 0-{len(first) - 1}/{len(data)}"))
            self.answer(206 if part else 200, first, headers)

    def list(self, query):
        store, prefix = self.server.store, query["prefix"][0]
        keys = sorted(key for key in store.objects if key.startswith(prefix))
        start = int(query.get("continuation-token", ["0 &<"])[0].split()[0])
        page = keys[start:start + PAGE]
        assert query["encoding-type"] == ["url"]
        entries = "".join(f"<Contents><Key>{urllib.parse.quote_plus(key, errors='surrogateescape')}</Key><LastModified>x</LastModified>"
                          f"<ETag>{xml.sax.saxutils.escape(store.etag(key), {chr(34): '&#34;'})}</ETag>"
                          f"<Size>{len(store.objects[key])}</Size></Contents>" for key in page)
        more = ("<IsTruncated>false</IsTruncated>" if start + PAGE >= len(keys) else
                f"<IsTruncated>true</IsTruncated><NextContinuationToken>{start + PAGE} &amp;&lt;</NextContinuationToken>")
        self.answer(200, f"<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{more}"
                         f"{entries}</ListBucketResult>".encode())
        store.after_list()

    def upload(self, key):
        """The parts of the upload that is asked for, and its query; None: it has been answered."""
        store, query = self.server.store, dict(urllib.parse.parse_qsl(self.path.partition("?")[2], keep_blank_values=True))
        if "uploadId" in query and store.uploads.get(query["uploadId"], (None,))[0] != key:
            self.fail(404, "NoSuchUpload")
            return None, None
        return query, store.uploads[query["uploadId"]][1] if "uploadId" in query else None

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.begin(body)
        if key is None:
            return
        query, parts = self.upload(key)
        store = self.server.store
        if parts is not None:
            number = int(query["partNumber"])
            if store.fail_part.get(number, 0) > 0:
                store.fail_part[number] -= 1
                self.fail(500, "InternalError")
                return
            parts[number] = body
            self.answer(200, b"", [("ETag", f'"{hashlib.md5(body).hexdigest()}"')])
        elif query is not None:
            store.objects[key] = body
            self.answer(200, b"", [("ETag", store.etag(key))])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.begin(body)
        if key is None:
            return
        query, parts = self.upload(key)
        store = self.server.store
        if query is None:
            return
        if parts is None:
            name = f"2~{len(store.asked)}&+/="
            store.uploads[name] = (key, {})
            self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{xml.sax.saxutils.escape(name)}</UploadId>"
                             f"</InitiateMultipartUploadResult>".encode())
            return
        if store.fail_end > 0:  # as S3 does it: the status was sent before it was known
            store.fail_end -= 1
            self.answer(200, b"<Error><Code>InternalError</Code></Error>")
            return
        named = re.findall(r"<Part><PartNumber>(\d+)</PartNumber><ETag>&quot;(\w+)&quot;</ETag></Part>", body.decode())
        if [(int(number), tag) for number, tag in named] != [(number, hashlib.md5(part).hexdigest())
                                                             for number, part in sorted(parts.items())]:
            self.fail(400, "InvalidPart")
            return
        store.objects[key] = b"".join(part for _, part in sorted(parts.items()))
        del store.uploads[query["uploadId"]]
        self.answer(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def do_DELETE(self):
        key = self.begin()
        if key is None:
            return
        query, parts = self.upload(key)
        if parts is not None:
            del self.server.store.uploads[query["uploadId"]]
            self.answer(204)


class Store:
    def __init__(self):
        self.objects, self.asked, self.failures = {}, [], 0
        self.uploads, self.fail_part, self.fail_end = {}, {}, 0
        self.after_list = lambda: None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.store = self
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def etag(self, key):
        return f'"{hashlib.md5(self.objects[key]).hexdigest()}"'

    def options(self, secret=SECRET):
        """What a command line needs to be let in."""
        pairs = {"s3_endpoint": f"http://127.0.0.1:{self.server.server_address[1]}", "s3_path_style": "true",
                 "s3_region": REGION, "s3_access_key": ACCESS, "s3_secret_key": secret}
        return [word for key, value in pairs.items() for word in ("--set", f"{key}={value}")]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
