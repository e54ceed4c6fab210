"""Sources on an https server: a real nginx with certificates of an authority of our own, which the system trusts, or does not."""
import os
import subprocess

import pytest

from server import binary
from storage import test_http_origin
from storage.test_http_origin import THUMBNAIL

TLS = """
    server {{
        listen 127.0.0.1:{tls} ssl;
        ssl_certificate {home}/store.pem; ssl_certificate_key {home}/store.key;
        location /pictures/ {{ alias {home}/pictures/; }}
        location /down/ {{ return 302 http://store.example:{port}/pictures/a.tif; }}
    }}
    server {{
        listen 127.0.0.1:{old} ssl;
        ssl_certificate {home}/old.pem; ssl_certificate_key {home}/store.key;
        location /pictures/ {{ alias {home}/pictures/; }}
    }}
}}
"""


def openssl(home, *arguments):
    subprocess.run(["openssl", *arguments], cwd=home, check=True, capture_output=True)


def certify(home):
    """An authority, a certificate of it for store.example, and one whose time is over."""
    openssl(home, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=ours",
            "-keyout", "ours.key", "-out", "ours.pem")
    openssl(home, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=store.example",
            "-keyout", "store.key", "-out", "store.csr")
    with open(f"{home}/names", "w") as file:
        file.write("subjectAltName = DNS:store.example\n")
    for name, days in (("store", "2"), ("old", "-1")):
        openssl(home, "x509", "-req", "-in", "store.csr", "-CA", "ours.pem", "-CAkey", "ours.key", "-CAcreateserial", "-days", days,
                "-extfile", "names", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def nginx(images):
    class Secure(test_http_origin.Nginx):
        def configure(self):
            self.tls, self.old = test_http_origin.free_port(), test_http_origin.free_port()
            certify(self.home)
            return super().configure().rstrip().removesuffix("}") + TLS.format(home=self.home, tls=self.tls, old=self.old, port=self.port)
    server = Secure()
    server.put("a.tif", os.path.join(images, "pyramid-jpeg-420.tif"))
    yield server
    server.stop()


@pytest.fixture
def trusting(nginx, tmp_path, monkeypatch):
    """trusting(authority...) -> servers started from here on know store.example and other.example, and trust that file of authorities."""
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("names and authorities of one's own take a mount namespace, and root to make one")
    wrapper, names, program = tmp_path / "vitrine", tmp_path / "hosts", binary()
    os.chmod(tmp_path, 0o755)
    names.write_text("127.0.0.1 store.example other.example\n")
    names.chmod(0o644)

    def begin(authorities):
        more = f"&& mount --bind {authorities} /etc/ssl/certs/ca-certificates.crt" if authorities else ""
        wrapper.write_text(f"#!/bin/sh\nexec unshare -m --propagation private sh -c 'mount --bind {names} /etc/hosts {more} && "
                           f"exec {program} \"$@\"' vitrine \"$@\"\n")
        wrapper.chmod(0o755)
        monkeypatch.setenv("VITRINE", str(wrapper))
    os.chmod(f"{nginx.home}/ours.pem", 0o644)
    begin(f"{nginx.home}/ours.pem")
    return begin


@pytest.fixture
def origin(start):
    def begin(where):
        return start(where, workers=1, settings={"http_networks": "loopback", "derivative_cache": "false", "fetch_tries": 1,
                                                 "http_hosts": "store.example"})
    return begin


def test_pictures_come_over_https(origin, nginx, trusting, served):
    server = origin(f"https://store.example:{nginx.tls}/pictures")
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 200 and reply.body == served.get(THUMBNAIL.format("pyramid-jpeg-420.tif")).body


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1", "old", "an authority that nobody knows"])
def test_who_cannot_say_who_it_is_is_not_believed(origin, nginx, trusting, name):
    if name.startswith("an authority"):
        trusting(None)
    host = name if name in ("other.example", "127.0.0.1") else "store.example"
    server = origin(f"https://{host}:{nginx.old if name == 'old' else nginx.tls}/pictures")
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 502 and b"is not valid for its name" in reply.body, reply.body


def test_redirects_do_not_lead_out_of_it(origin, nginx, trusting):
    reply = origin(f"https://store.example:{nginx.tls}/down").get(THUMBNAIL.format("a.tif"))
    assert reply.status == 502 and b"redirect" in reply.body, reply.body
