"""Who the server is to a store: each place that credentials come from, which goes before which, and what becomes of those that expire."""
import pytest

from server import free_port, run, until
from storage.ceph import ACCESS, BUCKET, SECRET
from storage.metadata import LIST, ROLE, Metadata, stamp
from storage.test_s3 import read

INFO = "/iiif/3/a.tif/info.json"


@pytest.fixture(scope="module", autouse=True)
def a_picture(ceph, images):
    ceph.put("who/a.tif", read(images, "pyramid-jpeg-420.tif"))


@pytest.fixture
def metadata(monkeypatch):
    service = Metadata(lambda: {"AccessKeyId": ACCESS, "SecretAccessKey": SECRET, "Token": "", "Expiration": stamp(3600 * 6)})
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"{service.url}/")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    yield service
    service.close()


@pytest.fixture
def bucket(start, between):
    def begin(**settings):
        return start(f"s3://{BUCKET}/who", workers=1, settings={"s3_endpoint": f"http://127.0.0.1:{between.port}",
                                                               "s3_path_style": "true", "fetch_tries": 1, **settings})
    return begin


def served(server):
    return until(lambda: (lambda reply: reply if reply.status == 200 else None)(server.get(INFO)), 10, "the picture is there")


def test_the_metadata_service(bucket, metadata, between):
    served(bucket())
    first, *rest = metadata.seen
    assert first[:2] == ("PUT", "/latest/api/token") and first[2]["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
    assert [seen[:2] for seen in rest] == [("GET", LIST), ("GET", LIST + ROLE)]
    assert all(headers.get("X-aws-ec2-metadata-token") in metadata.tokens for _, _, headers in rest)
    assert not any("X-Forwarded-For" in headers for _, _, headers in metadata.seen)
    assert all(f"Credential={ACCESS}/" in seen.headers["authorization"] for seen in between.take() if seen.status in (200, 206))


def test_a_token_that_is_not_good_any_more(bucket, metadata):
    """401: another token, at once."""
    metadata.refused_tokens = 1
    served(bucket())
    assert len(metadata.asked("/latest/api/token")) == 2
    assert [at for _, at, _ in metadata.seen].count(LIST) == 2


def test_the_session_token_is_signed(bucket, metadata, between):
    metadata.credentials = lambda: {"AccessKeyId": ACCESS, "SecretAccessKey": SECRET, "Token": "of/this+session==", "Expiration": stamp(7200)}
    server = bucket()
    until(lambda: server.get(INFO).status != 503, 10, "the store was asked")
    asked = between.take()[-1].headers
    assert asked["x-amz-security-token"] == "of/this+session==" and "x-amz-security-token" in asked["authorization"]


def test_renewed_before_they_expire(bucket, metadata, between):
    """Those that last for another five minutes and a moment are asked for again in a moment."""
    given = []

    def credentials():
        given.append(1)
        return {"AccessKeyId": ACCESS, "SecretAccessKey": SECRET, "Token": "", "Expiration": stamp(306 if len(given) == 1 else 7200)}
    metadata.credentials = credentials
    server = bucket(revalidate=1)
    served(server)
    until(lambda: len(given) >= 2, 15, "new credentials were asked for")
    served(server)
    assert len(given) == 2


def test_the_store_says_that_they_have_expired(bucket, metadata, between):
    """Whatever was said of their time: new ones are asked for, and the same request goes on with these."""
    given = []

    def credentials():
        given.append(1)
        return {"AccessKeyId": "OLD" if len(given) == 1 else ACCESS, "SecretAccessKey": SECRET, "Token": "", "Expiration": stamp(7200)}
    metadata.credentials = credentials
    between.fault = lambda seen: ("status", 403, "ExpiredToken") if "Credential=OLD/" in seen.headers["authorization"] else None
    server = bucket(fetch_tries=3)
    until(lambda: given, 10, "the first ones are there")
    served(server)
    assert len(given) == 2


@pytest.mark.parametrize("mode", ["silent", "cut", "empty", "nonsense", "huge", "no role"])
def test_a_service_that_is_of_no_use_and_then_is(bucket, metadata, mode):
    """Requests are told so at once, and served when there are credentials."""
    metadata.mode = mode
    server = bucket()
    until(lambda: metadata.seen, 10, "it was asked")
    reply = server.get(INFO)
    assert reply.status == 503 and b"no credentials" in reply.body
    until(lambda: "no credentials for the S3 store" in server.log(), 10, "the log says why")
    metadata.mode = None
    served(server)


def test_no_service_there(bucket, monkeypatch, metadata):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    server = bucket()
    until(lambda: "no credentials for the S3 store" in server.log(), 10, "the log says so")
    assert server.get(INFO).status == 503
    assert server.admin().get("/health").status == 200


def write_file(tmp_path, monkeypatch, **profiles):
    path = tmp_path / "credentials"
    path.write_text("# ours\n" + "".join(f"\n[{name}]\naws_access_key_id={key}\naws_secret_access_key = {secret}\n"
                                         for name, (key, secret) in profiles.items()))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))


def test_which_goes_before_which(bucket, metadata, between, monkeypatch, tmp_path):
    """The configuration before the environment, that before the file (the profile that is named, or the default), that before the service."""
    def key_in_use(**settings):
        server = bucket(**settings)
        until(lambda: server.get(INFO).status != 503, 10, "the store was asked")
        return between.take()[-1].headers["authorization"].partition("Credential=")[2].partition("/")[0]
    assert key_in_use() == ACCESS and metadata.seen
    metadata.seen.clear()
    write_file(tmp_path, monkeypatch, default=("FILEDEFAULT", "x"), other=("FILEOTHER", "x"))
    assert key_in_use() == "FILEDEFAULT"
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert key_in_use() == "FILEOTHER"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert key_in_use() == "ENVIRONMENT"
    assert key_in_use(s3_access_key="CONFIGURATION", s3_secret_key="x") == "CONFIGURATION"
    assert not metadata.seen, "it is not asked where others say"


@pytest.mark.parametrize("environment, settings, said", [
    ({"AWS_ACCESS_KEY_ID": "X"}, [], "half a pair"), ({}, ["--set", "s3_access_key=X"], "without s3_secret_key"),
    ({"AWS_PROFILE": "none"}, [], 'AWS_PROFILE is "none"'), ({}, [], "there are no credentials")])
def test_what_cannot_be_is_said_at_the_start(environment, settings, said, monkeypatch, tmp_path):
    write_file(tmp_path, monkeypatch, somebody=("A", "B"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    done = run("serve", "--images", f"s3://{BUCKET}", "--cache", str(tmp_path / "cache"), "--listen", f"127.0.0.1:{free_port()}", "--admin", "",
               *settings)
    assert done.returncode == 1 and said in done.stderr


def test_what_is_on_this_link_is_for_credentials_alone(start, between):
    """No origin is there: neither by its address, nor where the private networks are allowed."""
    for networks in ("", "private", "169.254.0.0/16"):
        server = start("http://169.254.169.254/latest", workers=1, settings={"http_networks": networks, "fetch_tries": 1})
        reply = server.get(INFO)
        assert reply.status == 403 and b"not allowed" in reply.body, networks
