"""Downloads against a real server on this machine: resumed, checked, and refused in one line."""

import contextlib
import hashlib
import http.client
import http.server
import threading
import zipfile
from types import SimpleNamespace

import huggingface_hub
import pytest

from emudrift.data.downloads import download, download_model, extract_member
from emudrift.errors import InputError

CONTENT = bytes(range(256)) * 8000
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; cuts the first answer short if the server is told so."""

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        if self.path.startswith("/length/"):
            self.send_response(200)
            self.send_header("Content-Length", self.path.rpartition("/")[2])
            self.end_headers()
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut, self.server.cut = self.server.cut, None
        self.wfile.write(CONTENT[start : cut or len(CONTENT)])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.asked, found.cut = [], None
        found.url = f"http://127.0.0.1:{found.server_port}/file"
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def test_a_cut_download_goes_on_where_it_stopped(server, tmp_path):
    path, server.cut = tmp_path / "deep" / "file", 1_200_000
    with pytest.raises(InputError, match="cannot be downloaded.*Partial downloads are kept"):
        download(server.url, SHA256, path)
    assert not path.exists()
    download(server.url, SHA256, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=1200000-"]
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_download_that_was_complete_but_not_renamed_is_not_fetched_again(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(server.url, SHA256, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_wrong_sum_is_an_error_and_leaves_nothing(server, tmp_path):
    with pytest.raises(InputError, match=f"sha256 is {SHA256[7:]}, expected 00ff"):
        download(server.url, "sha256:00ff", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_missing_server_are_named(server, tmp_path):
    with pytest.raises(InputError, match="the server responds with 404"):
        download(server.url.replace("/file", "/missing"), SHA256, tmp_path / "file")
    with pytest.raises(InputError, match="downloads need a machine with internet"):
        download("http://127.0.0.1:9/file", SHA256, tmp_path / "file")


def test_one_member_of_a_zip_is_taken_out(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("annotations/captions.json", "{}")
    extract_member(tmp_path / "a.zip", "annotations/captions.json", tmp_path / "captions.json")
    assert (tmp_path / "captions.json").read_text() == "{}"
    with pytest.raises(InputError, match="cannot extract other.json"):
        extract_member(tmp_path / "a.zip", "other.json", tmp_path / "other.json")


@pytest.mark.parametrize(
    ("files", "pickled"), [(["model.safetensors", "pytorch_model.bin"], False), (["pytorch_model.bin"], True)]
)
def test_a_hub_models_pickle_is_fetched_only_where_there_is_nothing_better(monkeypatch, tmp_path, files, pickled):
    asked = {}
    info = SimpleNamespace(sha="0" * 40, siblings=[SimpleNamespace(rfilename=name) for name in files])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, hub, revision: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub, **options: asked.update(options))
    assert download_model("openai/clip", "main", tmp_path) == "0" * 40
    assert ("pytorch_model.bin" in asked["allow_patterns"]) == pickled
    assert asked["revision"] == "0" * 40


@pytest.mark.parametrize(("code", "python"), [(False, []), (True, ["pipeline_own.py"])])
def test_of_a_pipeline_one_variant_is_fetched_and_code_only_where_it_is_trusted(monkeypatch, tmp_path, code, python):
    files = ["model_index.json", "unet/a.safetensors", "unet/a.fp16.safetensors", "all.safetensors", "pipeline_own.py"]
    asked = {}
    info = SimpleNamespace(sha="0" * 40, siblings=[SimpleNamespace(rfilename=name) for name in files])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, hub, revision: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub, **options: asked.update(options))
    download_model("some/sd", "main", tmp_path, ["fp16"], code)
    assert asked["allow_patterns"] == ["model_index.json", *python, "unet/a.fp16.safetensors"]


def test_of_a_repository_of_adapters_one_file_is_fetched(monkeypatch, tmp_path):
    asked = {}
    info = SimpleNamespace(
        sha="0" * 40, siblings=[SimpleNamespace(rfilename=name) for name in ("a.safetensors", "b.safetensors")]
    )
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda self, hub, revision: info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda hub, **options: asked.update(options))
    download_model("some/lora", "main", tmp_path, file="b.safetensors")
    assert asked["allow_patterns"] == ["b.safetensors"]
    with pytest.raises(
        InputError, match=r"has no file c\.safetensors; its safetensors are a\.safetensors, b\.safetensors"
    ):
        download_model("some/lora", "main", tmp_path, file="c.safetensors")


@pytest.mark.parametrize(
    "url", ["example.org/file.zip", "file:///etc/hosts", "http:///file", "http://exa mple.org/file"]
)
def test_what_is_no_address_is_refused_before_anything_is_asked(tmp_path, url):
    with pytest.raises(InputError, match="is not an address; expected one such as https://example.org/file.zip"):
        download(url, SHA256, tmp_path / "file")


@pytest.mark.parametrize("length", ["abc", "-5", "3.5"])
def test_a_length_that_is_no_number_of_bytes_is_refused(server, tmp_path, length):
    with pytest.raises(InputError, match=f"the server states the length '{length}', not a number of bytes"):
        download(server.url.replace("file", f"length/{length}"), SHA256, tmp_path / "file")


def test_a_disk_that_is_full_is_one_error_and_what_came_is_kept(server, tmp_path, monkeypatch):
    read = http.client.HTTPResponse.read

    def full(response, *arguments):
        if server.asked and (tmp_path / "file.part").exists() and (tmp_path / "file.part").stat().st_size:
            raise OSError(28, "No space left on device")
        return read(response, *arguments)

    monkeypatch.setattr("emudrift.data.downloads.CHUNK", 1 << 16)
    monkeypatch.setattr(http.client.HTTPResponse, "read", full)
    with pytest.raises(InputError, match=r"the download stopped: no space left on device .*file\.part"):
        download(server.url, SHA256, tmp_path / "file")
    monkeypatch.setattr(http.client.HTTPResponse, "read", read)
    download(server.url, SHA256, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_damaged_zip_is_one_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("captions.json", CONTENT)
    whole = (tmp_path / "a.zip").read_bytes()
    for place in range(40, len(whole), 97):
        damaged = bytearray(whole)
        damaged[place : place + 8] = b"\xff" * 8
        (tmp_path / "a.zip").write_bytes(damaged)
        with contextlib.suppress(InputError):
            extract_member(tmp_path / "a.zip", "captions.json", tmp_path / "captions.json")
            assert (tmp_path / "captions.json").read_bytes() == CONTENT
