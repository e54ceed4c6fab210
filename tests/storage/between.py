"""Stands between the server under test and a real store, on one port: counts what passes, and makes what can happen on the way
happen: delays, stalls, cut connections, other answers. Bytes that pass are never changed."""
import re
import socket
import socketserver
import threading
import time


class Seen:
    """One request that has passed: its first line, its Range, and how many bytes of a body came back; the port it came from."""

    def __init__(self, line, headers, port):
        self.line, self.headers, self.port, self.status, self.body_bytes = line, headers, port, 0, 0
        self.when_s = time.monotonic()

    def __repr__(self):
        return f"<{self.line} {self.headers.get('range', '')} -> {self.status} {self.body_bytes}>"


class Between:
    """fault(seen) decides about each request: None lets it pass; ("status", 500, "Code", lines...) answers itself; ("cut", n) closes after n
    bytes of the body; ("stall", seconds) is silent first, ("hold", event) until the event; ("refuse",) closes at once."""

    def __init__(self, port):
        self.to_port, self.delay_s, self.fault = port, 0, None
        self.seen, self.lock = [], threading.Lock()
        between = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    between.serve(self.request)
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, request_queue_size = True, True, 256

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def take(self):
        """What has been seen since the last time."""
        with self.lock:
            seen, self.seen = self.seen, []
        return seen

    def serve(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with socket.create_connection(("127.0.0.1", self.to_port)) as store:
            store.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            came = b""
            while True:
                head, came = read_head(client, came)
                if head is None:
                    return
                seen = note(head, client.getpeername()[1])
                with self.lock:
                    self.seen.append(seen)
                length = int(seen.headers.get("content-length", 0))
                while len(came) < length:
                    piece = client.recv(1 << 20)
                    if not piece:
                        return
                    came += piece
                if not self.pass_on(client, store, head + came[:length], seen):
                    return
                came = came[length:]

    def pass_on(self, client, store, head, seen):
        time.sleep(self.delay_s)
        fault = self.fault(seen) if self.fault else None
        if fault and fault[0] == "refuse":
            return False
        if fault and fault[0] == "stall":
            time.sleep(fault[1])
        if fault and fault[0] == "hold":
            fault[1].wait(120)
        if fault and fault[0] == "status":
            body = f"<Error><Code>{fault[2]}</Code></Error>".encode()
            seen.status = fault[1]
            more = "".join(f"{line}\r\n" for line in fault[3:])
            client.sendall(f"HTTP/1.1 {fault[1]} Told\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            return True
        store.sendall(head)
        answer, came = read_head(store, b"")
        if b"chunked" in answer and not came:
            came = store.recv(65536)
        seen.status = int(answer.split()[1])
        length = re.search(rb"\r\ncontent-length: *(\d+)", answer, re.I)
        left = int(length.group(1)) if length and seen.status != 304 and not seen.line.startswith("HEAD") else 0
        if fault and fault[0] == "cut":
            left = min(left, fault[1])
        client.sendall(answer)
        if re.search(rb"\r\ntransfer-encoding: *chunked", answer, re.I):
            end = b""
            while came:
                client.sendall(came)
                end = (end + came)[-5:]
                came = b"" if end == b"0\r\n\r\n" else store.recv(65536)
        while left > 0:
            piece, came = (came, b"") if came else (store.recv(65536), b"")
            if not piece:
                return False
            piece = piece[:left]
            client.sendall(piece)
            left -= len(piece)
            seen.body_bytes += len(piece)
        return not (fault and fault[0] == "cut")


def read_head(peer, came):
    while b"\r\n\r\n" not in came:
        piece = peer.recv(65536)
        if not piece:
            return None, b""
        came += piece
    head, _, rest = came.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def note(head, port):
    lines = head.decode("latin-1").split("\r\n")
    return Seen(lines[0], {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}, port)
