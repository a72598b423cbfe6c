"""Published files: found, downloaded from a server on this machine, and refused; no test needs the internet."""

import contextlib
import hashlib
import http.server
import io
import json
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

import model_zoo
from gluon_tricks.core.errors import Refused
from model_zoo import download, get_model, published, weights

NAME = "resnet18_v1b"
CONTENT = bytes(range(256)) * 2000  # 512000 bytes
SHA1 = hashlib.sha1(CONTENT).hexdigest()
TAG = SHA1[:8]
MEMBER = f"{NAME}-{TAG}.params"
DEFAULT = "resnet18_v1b-2d9d980c.params"


def zipped(members, **kwargs):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **kwargs) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


GOOD = zipped({MEMBER: CONTENT})


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what the test has put into server.answers, the last of them again and again."""

    def do_GET(self):
        answers, requests = self.server.answers, self.server.requests
        requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        status, body, sent, etag = answers.pop(0) if len(answers) > 1 else answers[0]
        start = 0
        if status == 200 and etag and self.headers.get("If-Range") == etag:
            status, start = 206, int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) - start))
        if etag:
            self.send_header("ETag", etag)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have hung up
            self.wfile.write(body[start : len(body) if sent is None else sent])

    def log_message(self, *args):
        pass


def answer(body=GOOD, status=200, sent=None, etag=""):
    return status, body, sent, etag


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that GluonCV's variables lead to, and an empty folder of models: server.folder."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.answers, server.requests, server.folder = [answer()], [], tmp_path / "home" / "models"
        server.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MXNET_GLUON_REPO", server.url)
        monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(published, "_WAITS", (0.01, 0.01, 0.01))
        yield server
        server.shutdown()


def fetched(server):
    path = published.fetch(NAME, TAG)
    assert path == server.folder / MEMBER and path.read_bytes() == CONTENT
    assert [other.name for other in server.folder.iterdir()] == [MEMBER]  # nothing else is left
    return path


def refusal(server):
    with pytest.raises(Refused) as error:
        published.fetch(NAME, TAG)
    assert not server.folder.exists() or not list(server.folder.iterdir())
    said = str(error.value)
    assert f"{server.url}/gluon/models/{NAME}-{TAG}.zip" in said  # where from
    assert f"the file whose sha1 starts with {TAG} at {server.folder / MEMBER}" in said  # what to put where
    return said


def test_it_is_downloaded_once(server):
    fetched(server)
    fetched(server)
    assert server.requests == [(f"/gluon/models/{NAME}-{TAG}.zip", None, None)]


def test_without_mxnet_home_it_lies_where_gluoncv_looks(monkeypatch):
    monkeypatch.delenv("MXNET_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(published.folder()) == "/home/somebody/.mxnet/models"


def test_a_file_of_another_digest_is_downloaded_again(server):
    server.folder.mkdir(parents=True)
    (server.folder / MEMBER).write_bytes(CONTENT[:1000])
    fetched(server)
    assert len(server.requests) == 1


def test_a_wrong_file_in_its_place_is_named_where_there_is_no_other(server):
    server.answers = [answer(b"gone", 404)]
    server.folder.mkdir(parents=True)
    path = server.folder / MEMBER
    path.write_bytes(b"other")
    with pytest.raises(Refused) as error:
        published.fetch(NAME, TAG)
    said = f"the file that is at {path} has the sha1 {hashlib.sha1(b'other').hexdigest()} and is not it"
    assert said in str(error.value) and "HTTP Error 404" in str(error.value)
    assert path.read_bytes() == b"other"  # the user's: left alone


def test_a_missing_file_is_refused_without_asking_again(server):
    server.answers = [answer(b"gone", 404)]
    said = refusal(server)
    assert "HTTP Error 404" in said and said.endswith("published tags of resnet18_v1b: 2d9d980c")
    assert len(server.requests) == 1


def test_a_busy_server_is_asked_again(server):
    server.answers = [answer(b"", 503), answer(b"", 429), answer()]
    fetched(server)
    assert len(server.requests) == 3


def test_an_unreachable_server_is_refused(server):
    server.shutdown()
    server.server_close()
    assert "Connection refused" in refusal(server)


def test_a_broken_download_goes_on_where_it_broke(server):
    server.answers = [answer(sent=100_000, etag='"a"'), answer(sent=300_000, etag='"a"'), answer(etag='"a"')]
    fetched(server)
    # 100 000 bytes came the first time; the second answer starts there and ends at 300 000
    assert server.requests[1:] == [
        (f"/gluon/models/{NAME}-{TAG}.zip", "bytes=100000-", '"a"'),
        (f"/gluon/models/{NAME}-{TAG}.zip", "bytes=300000-", '"a"'),
    ]


def test_a_download_starts_anew_if_the_file_has_changed(server):
    other = zipped({MEMBER: bytes(600_000)})
    server.answers = [answer(other, sent=100_000, etag='"a"'), answer(etag='"b"')]
    fetched(server)
    assert server.requests[1][1:] == ("bytes=100000-", '"a"')


def test_a_download_starts_anew_if_the_server_cannot_tell(server):
    server.answers = [answer(sent=100_000), answer(sent=100_000, etag='W/"a"'), answer()]
    fetched(server)
    assert [asked[1] for asked in server.requests] == [None, None, None]


def test_one_that_always_breaks_off_is_refused(server):
    server.answers = [answer(sent=100_000)]
    assert f"it broke off after 100000 of {len(GOOD)} bytes" in refusal(server)
    assert len(server.requests) == 4


def test_another_digest_is_refused(server):
    server.answers = [answer(zipped({MEMBER: b"other"}))]
    assert f"has the sha1 {hashlib.sha1(b'other').hexdigest()}" in refusal(server)


@pytest.mark.parametrize(
    "members", [{}, {f"../{MEMBER}": CONTENT}, {f"/tmp/{MEMBER}": CONTENT}, {f"{NAME}.params": CONTENT}]
)
def test_only_the_one_member_is_taken(server, members):
    server.answers = [answer(zipped(members))]
    assert f"no zip file with {MEMBER} in it" in refusal(server)
    assert not (server.folder.parent / MEMBER).exists()


def test_members_beside_it_are_not_unpacked(server, tmp_path):
    server.answers = [answer(zipped({"../../evil": b"evil", MEMBER: CONTENT}))]
    fetched(server)
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("body", [b"", b"<html>", GOOD[: len(GOOD) // 2], GOOD[:99] + bytes(999) + GOOD[1098:]])
def test_what_is_no_zip_file_is_refused(server, body):
    server.answers = [answer(body)]
    assert "no zip file" in refusal(server)


def test_a_bomb_is_refused(server, monkeypatch):
    monkeypatch.setattr(published, "_LARGEST", 1 << 20)
    server.answers = [answer(zipped({MEMBER: bytes(1 << 24)}, compression=zipfile.ZIP_DEFLATED))]
    assert "it has more than 1048576 bytes" in refusal(server)
    server.answers = [answer(bytes(1 << 21))]  # and what never ends is not read to its end
    assert "it has more than 1048576 bytes" in refusal(server)


def test_another_compression_is_refused(server):
    server.answers = [answer(zipped({MEMBER: CONTENT}, compression=zipfile.ZIP_LZMA))]
    assert "compressed in a way in which none was published" in refusal(server)


def test_two_processes_at_once(server):
    code = f"from model_zoo import published; print(published.fetch({NAME!r}, {TAG!r}).stat().st_size)"
    words = dict(stdout=subprocess.PIPE, text=True, cwd=model_zoo.__path__[0] + "/..")
    processes = [subprocess.Popen([sys.executable, "-c", code], **words) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in processes] == [f"{len(CONTENT)}\n"] * 2
    fetched(server)


def test_get_model_takes_the_default_or_a_tag(server, tmp_path, monkeypatch):
    net = get_model(NAME, classes=10)
    net.initialize()
    net.save_parameters(str(tmp_path / "net.params"))
    content = (tmp_path / "net.params").read_bytes()
    sha1 = hashlib.sha1(content).hexdigest()
    server.answers = [answer(zipped({f"{NAME}-{sha1[:8]}.params": content}))]
    monkeypatch.setitem(published.PUBLISHED, NAME, (published.Published(sha1[:8], sha1),))
    for pretrained in (True, 1, np.bool_(True), "true", "TRUE", sha1[:8], sha1[:8].upper()):
        loaded = get_model(NAME.upper(), pretrained=pretrained, classes=10)
        assert (loaded.head.weight.data() == net.head.weight.data()).asnumpy().all()
    assert len(server.requests) == 1
    with pytest.raises(Refused, match=rf"{NAME}-{sha1[:8]}.params was saved with 10 classes.*: pass classes=10"):
        get_model(NAME, pretrained=True)


def test_a_default_names_its_whole_digest(server):
    server.answers = [answer(b"gone", 404)]
    with pytest.raises(Refused, match="whose sha1 is 117a384ecf61490eb31ea147eb0e61e6d2b8a449 at .*: 117a384e, 00319d"):
        get_model("resnet50_v1d", pretrained=True)


def test_a_network_without_published_files_is_refused():
    with pytest.raises(Refused, match="no parameters of resnet18_v1d were published: give pretrained='FILE'"):
        get_model("resnet18_v1d", pretrained=True)


# --- timm's copies --------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(local_hub, server, tmp_path, monkeypatch):
    """timm's copy of the default file lies at the hub; the server has nothing. Returns the hub."""
    net = get_model(NAME, classes=10)
    net.initialize()
    net(mx.nd.zeros((1, 3, 64, 64)))
    values = weights.as_theirs(net, weights.values_of(net), "timm")
    content = safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in values.items()})
    config = {"architecture": "resnet18", "num_classes": 10}
    local_hub.files = {
        ("timm/resnet18.gluon_in1k", "config.json"): json.dumps(config).encode(),
        ("timm/resnet18.gluon_in1k", "model.safetensors"): content,
    }
    local_hub.bias = net.head.bias.data().asnumpy().tolist()
    server.answers = [answer(b"gone", 404)]
    return local_hub


def test_a_copy_is_taken_where_the_server_has_nothing(copy, server, caplog):
    net = get_model(NAME, pretrained=True, classes=10)
    assert net.head.bias.data().asnumpy().tolist() == copy.bias
    failed, taken = [record.getMessage() for record in caplog.records if record.name == "model_zoo"]
    assert failed.startswith(f"{DEFAULT} cannot be downloaded from {server.url}/") and "HTTP Error 404" in failed
    assert failed.endswith("timm's copy of it is tried, hf-hub:timm/resnet18.gluon_in1k")
    assert taken.startswith("hf-hub:timm/resnet18.gluon_in1k@") and f"{NAME} with 10 classes, from {copy.url}" in taken
    for name in (True, "2d9d980c", "2D9D980C"):  # now of the hub's cache, and the server is not asked again
        get_model(NAME, pretrained=name, classes=10)
    assert len(server.requests) == 1


def test_the_file_on_this_machine_comes_before_the_copy(copy, server, monkeypatch):
    monkeypatch.setitem(published.PUBLISHED, NAME, (published.Published(TAG, SHA1),))
    server.folder.mkdir(parents=True)
    (server.folder / MEMBER).write_bytes(CONTENT)
    assert published.fetch(NAME) == server.folder / MEMBER
    assert not server.requests and not copy.requests


def test_the_server_comes_before_the_copy(copy, server, monkeypatch, caplog):
    monkeypatch.setitem(published.PUBLISHED, NAME, (published.Published(TAG, SHA1),))
    server.answers = [answer()]
    path = fetched(server)
    assert not copy.requests
    assert [record.getMessage() for record in caplog.records] == [
        f"parameters of {NAME}: GluonCV's file {path}, from its server"
    ]


def test_another_file_than_the_default_has_no_copy(copy, server):
    assert "HTTP Error 404" in refusal(server) and not copy.requests


def test_a_server_that_hangs_is_left_after_seconds(copy, server, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MXNET_GLUON_REPO", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        get_model(NAME, pretrained=True, classes=10)
        assert time.monotonic() - start < 15  # of which the network takes most


@pytest.mark.parametrize("first", [answer(b"", 503), answer(zipped({DEFAULT: b"other"})), answer(sent=1000)])
def test_whatever_the_server_fails_at_the_copy_is_taken(first, copy, server):
    server.answers = [first]
    assert published.fetch(NAME).name == "model.safetensors"
    assert len(server.requests) <= 2


def test_neither_server_nor_copy(copy, server):
    copy.files = {}
    with pytest.raises(Refused) as error:
        get_model(NAME, pretrained=True)
    said = str(error.value)
    assert (
        "HTTP Error 404" in said and "nor is there timm's copy of it: there is no hf-hub:timm/resnet18.gluon_in" in said
    )
    assert "put the file whose sha1 is 2d9d980c990442f826f20781ed039851e78dabe3 at" in said and len(said) < 1500


def test_a_damaged_copy_is_refused(copy, server):
    copy.sent = b"x" * len(copy.files["timm/resnet18.gluon_in1k", "model.safetensors"])
    with pytest.raises(Refused, match="nor is there timm's copy of it: .* is not what the hub has"):
        get_model(NAME, pretrained=True)


@pytest.mark.parametrize("pretrained", [False, None, 0, np.bool_(False), "false", "False"])
def test_no_file_is_asked_for(server, pretrained):
    with pytest.raises(RuntimeError, match="has not been initialized"):
        get_model(NAME, pretrained=pretrained)(mx.nd.zeros((1, 3, 32, 32)))
    assert not server.requests


@pytest.mark.parametrize("pretrained", [2, 1.5, b"117a384e", ["117a384e"]])
def test_what_names_no_parameters_is_refused(pretrained):
    with pytest.raises(Refused, match="pretrained is .*: give True, False, a tag, or the path of a file$"):
        get_model(NAME, pretrained=pretrained)


@pytest.mark.parametrize("text", ["abc", "", "117a384", "final.params"])
def test_what_is_neither_file_nor_tag_names_the_tags(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as error:
        get_model("resnet50_v1d", pretrained=text)
    assert f"no parameter file {text!r}, and it is no tag" in str(error.value)
    assert str(error.value).endswith("published tags of resnet50_v1d: 117a384e, 00319ddc")
    with pytest.raises(Refused, match="published tags of zfnet: none"):
        get_model("zfnet", pretrained=text)


def test_the_digests_are_gluoncvs():
    from gluoncv.model_zoo import model_store

    for name, files in published.PUBLISHED.items():
        stem = published.FILE_NAMES.get(name, name)
        assert files[0].tag == model_store.short_hash(stem)
        assert files[0].sha1 == model_store._model_sha1[stem]
        assert all(published.is_tag(file.tag) for file in files)
        assert all(file.top5 is None or file.top1 < file.top5 for file in files)
    assert all(map(model_zoo.is_model, published.PUBLISHED))
    missing = {name for name in model_zoo.list_models() if name in model_store._model_sha1} - published.PUBLISHED.keys()
    assert not missing


@pytest.mark.parametrize(
    "name, tag, top1, top5, mixup",  # of the zoo's page, as its training logs and the recipes beside them have it
    [
        ("resnet50_v1d", "117a384e", 79.15, 94.58, True),
        ("resnet50_v1d", "00319ddc", 78.48, 94.20, False),
        ("resnet152_v1d", "cddbc86f", 80.61, 95.34, True),
        ("resnet152_v1d", "cfe0220d", 80.26, 95.00, False),
        ("inceptionv3", "a5050dbc", 78.77, 94.39, True),
        ("inceptionv3", "e132adf2", 78.41, 94.13, False),
        ("mobilenet1.0", "efbb2ca3", 73.28, 91.30, True),
        ("mobilenet1.0", "cce75496", 72.93, 91.14, False),
        ("resnet50_v1", "cc729d95", 77.36, None, None),
        ("resnet50_v1b", "0ecdba34", 77.67, None, None),
        ("resnet50_v1c", "2a4e0708", 78.03, None, None),
    ],
)
def test_published_accuracies(name, tag, top1, top5, mixup):
    file = published.lookup(name, tag)
    assert file.top1 == top1 and (top5 is None or file.top5 == top5)
    assert mixup is None or ("mixup" in file.note) == mixup
    assert published.lookup(name).tag == tag or mixup is False  # the default is the one with mixup


def test_a_password_in_the_repository_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://me:s3cret@127.0.0.1:1")
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    monkeypatch.setattr(published, "_WAITS", ())
    with pytest.raises(Refused, match="cannot be downloaded from http://127.0.0.1:1/gluon/models") as error:
        published.fetch(NAME, TAG)
    assert "s3cret" not in str(error.value) and "me:" not in str(error.value)
