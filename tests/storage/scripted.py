"""An http origin that says whatever a test wants, byte for byte: for what no honest server says, and says at times all the same."""
import re
import socket
import socketserver
import threading


class Asked:
    """One request: its path, its Range as numbers (None: none), its other headers by small names."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.path = lines[0].split()[1]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        parts = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        self.first, self.last = (int(parts[1]), int(parts[2])) if parts else (None, None)


class Scripted:
    """answer(asked) -> the pieces of the answer, sent one after another; None among them closes the connection there."""

    def __init__(self, answer):
        self.answer, self.asked, self.lock = answer, [], threading.Lock()
        origin = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    while origin.serve(self.request):
                        pass
                except OSError:
                    pass

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads, request_queue_size = True, True, 256

        self.server = Server(("127.0.0.1", 0), Handler)
        self.place = f"http://127.0.0.1:{self.server.server_address[1]}/x"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def serve(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = client.recv(65536)
            if not piece:
                return False
            head += piece
        asked = Asked(head)
        with self.lock:
            self.asked.append(asked)
        for piece in self.answer(asked):
            if piece is None:
                return False
            client.sendall(piece)
        return True

    def take(self):
        """What has been asked since the last time."""
        with self.lock:
            asked, self.asked = self.asked, []
        return asked

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def said(status, *lines, body=b"", length=True):
    """An answer in one piece; lines are headers."""
    head = [f"HTTP/1.1 {status} Said", *lines] + ([f"Content-Length: {len(body)}"] if length else [])
    return [("\r\n".join(head) + "\r\n\r\n").encode() + body]


def part(data, asked, *lines, first=None, last=None, length=True):
    """What an honest origin says, or a part that begins and ends elsewhere."""
    first = asked.first if first is None else first
    last = min(asked.last if last is None else last, len(data) - 1)
    return said(206, f"Content-Range: bytes {first}-{last}/{len(data)}", *lines, body=data[first:last + 1], length=length)
