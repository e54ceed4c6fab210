"""HTTP to the byte: what is sent is exactly what the test says, what came is kept as it came."""
import io
import json
import socket


class Reply:
    """One answer. headers: list of (lower-case name, value) in the order of arrival."""

    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def __getitem__(self, name):
        """The header's value; several of one name are joined as HTTP does; None when absent."""
        values = self.all(name)
        return ", ".join(values) if values else None

    def json(self):
        return json.loads(self.body)

    def image(self):
        from PIL import Image
        image = Image.open(io.BytesIO(self.body))
        image.load()
        return image

    def media_type(self):
        return (self["content-type"] or "").partition(";")[0].strip().lower()

    def tokens(self, name):
        """A comma list as lower-case words."""
        return {word.strip().lower() for word in (self[name] or "").split(",") if word.strip()}

    def __repr__(self):
        text = self.body[:200] if self.media_type().startswith("text/") else f"{len(self.body)} bytes"
        return f"<{self.status} {self['content-type']} {text!r}>"


class Gone(ConnectionError):
    """The peer closed before a whole answer had come. got = what did come."""

    def __init__(self, got):
        super().__init__(f"connection closed after {len(got)} bytes: {got[:80]!r}")
        self.got = got


class Connection:
    """One TCP connection; several requests may go over it, also before their answers are read."""

    def __init__(self, host, port, timeout=60, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.host = f"{host}:{port}"
        self.pending = bytearray()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, target, headers=None, version="1.1"):
        self.send(request_bytes(method, target, headers, self.host, version))

    def more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Gone(bytes(self.pending))
        self.pending += data

    def head(self):
        """Status line and headers of the next answer; its body stays unread."""
        while b"\r\n\r\n" not in self.pending:
            self.more()
        raw, _, rest = bytes(self.pending).partition(b"\r\n\r\n")
        self.pending = bytearray(rest)
        lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        assert version in ("HTTP/1.1", "HTTP/1.0"), f"not a status line: {lines[0]!r}"
        status, _, reason = rest.partition(" ")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon and name and name == name.strip(), f"not a header line: {line!r}"
            headers.append((name.lower(), value.strip()))
        return Reply(int(status), reason, headers, b"")

    def body(self, reply, method="GET"):
        if method == "HEAD" or reply.status in (204, 304) or reply.status < 200:
            return b""
        if "chunked" in reply.tokens("transfer-encoding"):
            return self.chunks()
        length = reply["content-length"]
        if length is None:
            return self.rest()
        while len(self.pending) < int(length):
            self.more()
        data = bytes(self.pending[:int(length)])
        del self.pending[:int(length)]
        return data

    def chunks(self):
        data = bytearray()
        while True:
            while b"\r\n" not in self.pending:
                self.more()
            line, _, _ = bytes(self.pending).partition(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            while len(self.pending) < len(line) + size + 4:
                self.more()
            data += self.pending[len(line) + 2:len(line) + 2 + size]
            del self.pending[:len(line) + size + 4]
            if size == 0:
                return bytes(data)

    def rest(self):
        try:
            while True:
                self.more()
        except Gone:
            data, self.pending = bytes(self.pending), bytearray()
            return data

    def reply(self, method="GET"):
        reply = self.head()
        reply.body = self.body(reply, method)
        return reply

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client:
    """Requests one by one, over one connection that is kept as long as the server keeps it."""

    def __init__(self, host, port, timeout=60):
        self.host, self.port, self.timeout = host, port, timeout
        self.kept = None

    def connect(self, **options):
        return Connection(self.host, self.port, self.timeout, **options)

    def ask(self, method, target, headers=None, version="1.1"):
        kept, self.kept = self.kept, None
        if kept:
            try:
                return self.over(kept, method, target, headers, version)
            except (Gone, ConnectionResetError, BrokenPipeError) as end:
                kept.close()
                if getattr(end, "got", b""):
                    raise
        return self.over(self.connect(), method, target, headers, version)

    def over(self, connection, method, target, headers, version):
        try:
            connection.request(method, target, headers, version)
            reply = connection.reply(method)
        except BaseException:
            connection.close()
            raise
        if "close" in reply.tokens("connection") or version == "1.0":
            connection.close()
        else:
            self.kept = connection
        return reply

    def get(self, target, headers=None):
        return self.ask("GET", target, headers)

    def head(self, target, headers=None):
        return self.ask("HEAD", target, headers)

    def raw(self, data, method="GET"):
        """Exactly these bytes on a connection of their own, and the first answer to them."""
        with self.connect() as connection:
            connection.send(data)
            return connection.reply(method)


def request_bytes(method, target, headers=None, host="localhost", version="1.1"):
    """headers: dict or list of pairs. Host is added unless they name one; None as value leaves it out."""
    pairs = list(headers.items() if isinstance(headers, dict) else headers or [])
    if not any(name.lower() == "host" for name, _ in pairs):
        pairs.insert(0, ("Host", host))
    target = target if isinstance(target, bytes) else target.encode("latin-1")
    lines = [method.encode() + b" " + target + b" HTTP/" + version.encode()]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in pairs if value is not None]
    return b"\r\n".join(lines) + b"\r\n\r\n"
