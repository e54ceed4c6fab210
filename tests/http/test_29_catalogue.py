"""The catalogue: what a CSV file says about pictures and folders, by columns that the configuration names."""
import os
import signal
import subprocess

import pytest
from PIL import Image

from server import Vitrine, binary, until

COLUMNS = ("File = identifier; Titel = label@de; Title = label@en; Text = summary; Licence = rights; "
           "Credit = requiredStatement; Way = viewingDirection; Folios = pages; Artist = Artist; Maler = Artist@de")
ROWS = '''\ufeffFile;Title;Titel;Text;Licence;Credit;Way;Folios;Artist;Maler;Unused
book;A book;"Ein ""Buch""";"Two
lines; and a separator";https://creativecommons.org/licenses/by/4.0/;The library;right-to-left;1r|1v;Ann;Anna;x

picture.png;;Bild;;;;;;;;
book/3.png;The third;;;;;;;;;
said.png;From the catalogue;;;;;;;Cat;;
'''


def save(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.new("RGB", (300, 200), (20, 90, 60)).save(path)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("shelf"))
    for name in "book/1.png", "book/2.png", "book/3.png", "book/4.png", "picture.png", "said.png":
        save(f"{root}/{name}")
    with open(f"{root}/said.json", "w") as file:
        file.write('{"label": "From the sidecar", "metadata": {"Sidecar": "yes"}}')
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-dc:Title=From itself", "-XMP-dc:Creator=Me",
                    f"{root}/said.png", f"{root}/picture.png"], check=True)
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    return root


@pytest.fixture(scope="module")
def server(shelf, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_text(ROWS)
    settings = {"catalogue": path, "catalogue_columns": COLUMNS, "revalidate": 1}
    with Vitrine(shelf, settings=settings) as running:
        running.csv = path
        until(lambda: "rows of the catalogue are loaded" in running.log(), 10, "the catalogue is loaded")
        until(lambda: label(running, "book") == {"de": ['Ein "Buch"'], "en": ["A book"]}, 10, "every worker has it")
        yield running


def document(server, path, version=3):
    reply = server.get(f"/presentation/{version}/{path}/manifest")
    assert reply.status == 200, reply
    return reply.json()


def label(server, path):
    return document(server, path)["label"]


def test_all_that_a_row_says(server):
    book = document(server, "book")
    assert book["summary"] == {"none": ["Two\nlines; and a separator"]}
    assert book["rights"] == "http://creativecommons.org/licenses/by/4.0/"
    assert book["requiredStatement"]["value"] == {"none": ["The library"]}
    assert book["viewingDirection"] == "right-to-left"
    assert book["metadata"] == [{"label": {"none": ["Artist"]}, "value": {"none": ["Ann"], "de": ["Anna"]}}]
    assert [canvas["label"] for canvas in book["items"]] == [
        {"none": ["1r"]}, {"none": ["1v"]}, {"en": ["The third"]}, {"none": ["4"]}]
    assert "x" not in str(book.get("metadata"))


def test_who_goes_first(server):
    """Sidecar, catalogue, picture, file name."""
    said = document(server, "said.png")
    assert said["label"] == {"none": ["From the sidecar"]}
    assert [one["value"] for one in said["metadata"]] == [{"none": ["yes"]}, {"none": ["Cat"]}, {"none": ["Me"]}]
    assert label(server, "picture.png") == {"de": ["Bild"]}
    root = server.get("/presentation/3/collection").json()
    assert [item["label"] for item in root["items"]] == [
        {"de": ['Ein "Buch"'], "en": ["A book"]}, {"de": ["Bild"]}, {"none": ["From the sidecar"]}]


def test_hup_takes_up_another_list_and_refuses_a_wrong_one(server):
    server.csv.write_text(ROWS + "picture.png;Again;;;;;;;;;\nbook/1.png;;;;http://example.org/;;;;;;\n")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "2 lines are wrong" in server.log(), 20, "the wrong list is refused")
    assert f"{server.csv}:8: the identifier has a row on line 5 already" in server.log()
    assert f"{server.csv}:9: rights is http://example.org/" in server.log()
    assert label(server, "picture.png") == {"de": ["Bild"]}
    server.csv.write_text(ROWS.replace("Bild", "Gemälde"))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: label(server, "picture.png") == {"de": ["Gemälde"]}, 20, "the new list is taken up")


@pytest.mark.parametrize("text, sentence", [
    ("File,Title\na.png,x\n,y\n", ":3: there is no identifier"),
    ("Name,Title\n", ':1: there is no column "File"'),
    ("File,Title\na.png,\"x\n", ":2: a quote is not closed"),
    ("File,Title\na.png,x\"y\n", ":2: a quote stands where none may be"),
    ("File,Title\na.png,x\na.png,y\n", ":3: the identifier has a row on line 2 already"),
    ("", ":1: there is no first line"),
])
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, sentence):
    (tmp_path / "rows.csv").write_text(text)
    (tmp_path / "conf").write_text(f'''cache = "{tmp_path}"; catalogue = "{tmp_path}/rows.csv";
        catalogue_columns = "File = identifier; Title = label";''')
    told = subprocess.run([binary(), "check-config", tmp_path / "conf"], capture_output=True, text=True)
    assert told.returncode == 1 and f"{tmp_path}/rows.csv{sentence}" in told.stderr


@pytest.mark.parametrize("columns, sentence", [
    ("Title = label", "no column is the identifier"), ("File", "COLUMN = NAME is wanted"),
    ("File = identifier; T = rights@en", "rights has no language"), ("A = identifier; B = identifier", "more than one")])
def test_wrong_columns(tmp_path, columns, sentence):
    (tmp_path / "conf").write_text(f'catalogue_columns = "{columns}";')
    told = subprocess.run([binary(), "check-config", tmp_path / "conf"], capture_output=True, text=True)
    assert told.returncode == 1 and sentence in told.stderr and f"{tmp_path}/conf:1:" in told.stderr
