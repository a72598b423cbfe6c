"""Repositories at a hub: found, downloaded from one on this machine, and refused; no test needs the internet."""

import errno
import hashlib
import io
import json
import logging
import os
import pathlib
import runpy
import subprocess
import sys
import time

import huggingface_hub
import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

import model_zoo
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from model_zoo import get_model, hub, load_model, repository, timm_config, weights

REPOSITORY = "me/mobilenet.ours_2026"
REFERENCE = f"hf-hub:{REPOSITORY}"
CONFIG = {
    **{"architecture": "mobilenetv1_100", "num_classes": 3, "label_names": ["cat", "dog", "Bär <b>"]},
    "model_args": {"in_chans": 3, "num_classes": 3, "global_pool": "avg", "act_layer": "relu"},
    "pretrained_cfg": {
        **{"input_size": [3, 96, 96], "crop_pct": 0.9, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.25, 0.5]},
        **{"interpolation": "bicubic", "test_input_size": [3, 128, 128], "test_crop_pct": 1.0, "num_classes": 3},
    },
}


@pytest.fixture(scope="module")
def net():
    net = get_model("mobilenet1.0", classes=3)
    mx.random.seed(1)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 64, 64)))
    return net


@pytest.fixture(scope="module")
def parameters(net):
    """As model.safetensors of timm holds them."""
    values = weights.as_theirs(net, weights.values_of(net), "timm")
    return safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in values.items()})


@pytest.fixture
def there(local_hub, parameters):
    """The hub with one repository."""
    local_hub.files = {
        (REPOSITORY, "config.json"): json.dumps(CONFIG).encode(),
        (REPOSITORY, "model.safetensors"): parameters,
    }
    return local_hub


def bias(net):
    return net.head.bias.data().asnumpy().tolist()


def refusal(reference=REFERENCE, model=""):
    with pytest.raises(Refused) as refused:
        hub.fetch(reference, model)
    said = str(refused.value)
    assert "\n" not in said and len(said) < 700
    return said


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", [REFERENCE, f"hf_hub:{REPOSITORY}", f"{REFERENCE}@main", pathlib.Path(REFERENCE)])
def test_parameters_classes_and_preprocessing(reference, there, net, caplog):
    loaded = load_model(reference)
    assert loaded.name == "mobilenet1.0" and loaded.classes == 3
    x = mx.nd.random.uniform(shape=(1, 3, 64, 64))
    np.testing.assert_array_equal(loaded(x).asnumpy(), net(x).asnumpy())
    said = loaded.preprocessing
    assert (said.input_size, said.crop_ratio, said.classes) == (96, 0.9, ("cat", "dog", "Bär <b>"))
    assert said.mean == (127.5, 127.5, 127.5) and said.std == (127.5, 63.75, 127.5)
    assert {"input_size", "mean", "std", "classes"} <= set(loaded.stated)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "model_zoo"]
    commit = there.commit(REPOSITORY)[:12]
    assert line.startswith(f"{REFERENCE}@{commit}, mobilenet1.0 with 3 classes, from {there.url}; ")
    assert "timm tests it at 128 px with crop ratio 1" in line and "'bicubic'" in line


def test_get_model(there, net):
    loaded = get_model("mobilenet1.0", pretrained=REFERENCE, classes=3)
    assert bias(loaded) == bias(net)
    with pytest.raises(Refused, match="was saved with 3 classes.*: pass classes=3"):
        get_model("mobilenet1.0", pretrained=REFERENCE)
    other = get_model("mobilenet1.0", pretrained=REFERENCE, classes=5, any_classes=True)
    assert other.head.bias._data is None and other.preprocessing.classes is None
    with pytest.raises(
        Refused, match=f"{REFERENCE} holds a mobilenetv1_100, which is mobilenet1.0 here, not vgg16: ask for"
    ):
        get_model("vgg16", pretrained=REFERENCE)


def test_it_is_downloaded_once(there):
    hub.fetch(REFERENCE)
    hub.fetch(REFERENCE)
    assert [name for name in there.downloads() if name == "config.json"] == ["config.json"]
    assert len([path for method, path, _ in there.requests if method == "GET" and "/lfs/" in path]) == 1


def test_a_commit_that_the_cache_has_needs_no_hub(there, monkeypatch):
    pinned = hub.pinned(REFERENCE)
    assert pinned == f"{REFERENCE}@{there.commit(REPOSITORY)}"
    hub.fetch(pinned)
    there.requests.clear()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hub.fetch(pinned).name == "model.safetensors" and not there.requests


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("absent", ["config.json", "model.safetensors"])
def test_what_a_repository_does_not_have_is_not_waited_for(absent, pinned, there, net, torch_libraries, monkeypatch):
    """The cache has all there is of it, and the hub does not answer."""
    del there.files[REPOSITORY, absent]
    if absent == "model.safetensors":
        torch, state = torch_libraries.torch, weights.as_theirs(net, weights.values_of(net), "timm")
        file = io.BytesIO()
        torch.save({name: torch.tensor(value) for name, value in state.items()}, file)
        there.files[REPOSITORY, "pytorch_model.bin"] = file.getvalue()
    reference = hub.pinned(REFERENCE) if pinned else REFERENCE
    hub.fetch(reference)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert bias(load_model(reference, "mobilenet1.0")) == bias(net)


def test_without_a_hub_what_is_missing_is_said(there, monkeypatch):
    """The cache has its config.json alone."""
    repository.Repository.named(REFERENCE).file("config.json", 10**6)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    said = refusal()
    assert "Connection refused" in said and "has neither model.safetensors nor pytorch_model.bin: try again la" in said


def test_where_it_came_from(there, monkeypatch, caplog):
    pinned = hub.pinned(REFERENCE)
    for asked, says in ((True, f"from {there.url}"), (False, "the hub not asked")):
        caplog.clear()
        hub.fetch(pinned)
        assert says in caplog.text, asked


def test_what_a_repository_says_of_its_images_is_known_without_its_parameters(there):
    usual = get_model("mobilenet1.0").preprocessing
    said = hub.preprocessing_in(REFERENCE, usual)
    assert (said.input_size, said.crop_ratio, said.mean, said.std) == (96, 0.9, (127.5,) * 3, (127.5, 63.75, 127.5))
    assert "model.safetensors" not in there.downloads()


def test_without_a_config_the_file_speaks_for_itself(local_hub, net, tmp_path):
    weights.save(net, tmp_path / "model.safetensors")
    local_hub.files = {("me/own", "model.safetensors"): (tmp_path / "model.safetensors").read_bytes()}
    assert hub.model_in("hf-hub:me/own") == "mobilenet1.0"
    assert bias(load_model("hf-hub:me/own")) == bias(net)


def test_a_repository_with_a_pickle_alone(there, net, torch_libraries, tmp_path):
    torch = torch_libraries.torch
    state = weights.as_theirs(net, weights.values_of(net), "timm")
    torch.save({name: torch.tensor(value) for name, value in state.items()}, tmp_path / "pytorch_model.bin")
    del there.files[REPOSITORY, "model.safetensors"]
    there.files[REPOSITORY, "pytorch_model.bin"] = (tmp_path / "pytorch_model.bin").read_bytes()
    loaded = load_model(REFERENCE)
    assert bias(loaded) == bias(net) and loaded.preprocessing.input_size == 96


def test_bfloat16(there, net, torch_libraries):
    from safetensors.torch import save

    torch = torch_libraries.torch
    state = weights.as_theirs(net, weights.values_of(net), "timm")
    there.files[REPOSITORY, "model.safetensors"] = save({k: torch.tensor(v).bfloat16() for k, v in state.items()})
    np.testing.assert_allclose(bias(load_model(REFERENCE)), bias(net), rtol=1e-2)


def test_a_folder_that_somebody_downloaded(there, net, tmp_path):
    for _, name in there.files:
        (tmp_path / name).write_bytes(there.files[REPOSITORY, name])
    loaded = load_model(tmp_path / "model.safetensors")
    assert bias(loaded) == bias(net) and loaded.preprocessing.classes == ("cat", "dog", "Bär <b>")
    with pytest.raises(Refused, match="says that it holds a mobilenet1.0, not a mobilenet0.5"):
        load_model(tmp_path / "model.safetensors", "mobilenet0.5")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"model_type": "bert"}', b'{"architecture": "vit"}', bytes(9)])
def test_another_program_s_config_beside_a_file_is_left_alone(content, parameters, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    (tmp_path / "model.safetensors").write_bytes(parameters)
    assert timm_config.beside(tmp_path / "model.safetensors") is None
    assert load_model(tmp_path / "model.safetensors", "mobilenet1.0").stated == ()


# --- names and servers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rest",
    ["", "resnet50", "a/b/c", "a--b/c", "a/b@", "a/b@../../x", "a/b@-x", "ä/b", "a/b c", "a/" + "b" * 97, "a/<b>"],
)
def test_what_names_no_repository(rest, local_hub):
    assert "names no repository: write hf-hub:OWNER/NAME or" in refusal(f"hf-hub:{rest}")
    assert not local_hub.requests


def test_no_such_repository(there):
    said = refusal("hf-hub:me/nothing")
    assert said.startswith(f"there is no hf-hub:me/nothing at {there.url}, or you may not read it (HTTP 401): check")
    assert f"no revision 'v9' at {there.url}" in refusal(f"{REFERENCE}@v9")


def test_gated_and_private(there, net, monkeypatch):
    there.gated = {REPOSITORY}
    assert f"is gated: ask for access at {there.url}/{REPOSITORY}, and set HF_TOKEN" in refusal()
    there.gated, there.private = set(), {REPOSITORY}
    assert "or you may not read it (HTTP 401): check the name, and set HF_TOKEN" in refusal()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    there.gated = {REPOSITORY}
    assert bias(load_model(REFERENCE)) == bias(net)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "hf_other" not in refusal(f"{REFERENCE}@v9")


def test_a_busy_hub_is_asked_again(there):
    there.answers = [500, 503]
    assert hub.fetch(REFERENCE).is_file()
    assert [method for method, path, _ in there.requests if "config.json" in path][:4] == ["HEAD"] * 4


def test_a_hub_that_fails(there, caplog):
    there.answers = [500] * 3
    said = refusal()
    assert said.startswith(f"{REFERENCE} cannot be fetched from {there.url} (HTTP 500), and the cache ")
    there.answers = []
    path = hub.fetch(REFERENCE)
    there.answers = [502] * 3
    caplog.clear()
    assert hub.fetch(REFERENCE) == path  # of the cache, and the hub is asked no more
    assert there.answers == []
    assert (
        f"{REFERENCE} cannot be fetched from {there.url} (HTTP 502): what the cache has of it is taken" in caplog.text
    )


def test_a_hub_that_hangs(there, monkeypatch):
    monkeypatch.setattr(repository, "_TIMEOUT", 0.2)
    there.hangs = 1.0
    start = time.monotonic()
    assert "Timeout" in refusal()
    assert time.monotonic() - start < 5  # not the minutes that huggingface_hub would wait


def test_no_hub(local_hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://me:s3cret@127.0.0.1:9")
    said = refusal()
    assert "Connection refused" in said and "s3cret" not in said and "me:" not in said


def test_offline(there, monkeypatch, net):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "has neither model.safetensors nor pytorch_model.bin" in refusal() and not there.requests
    monkeypatch.delenv("HF_HUB_OFFLINE")
    hub.fetch(REFERENCE)
    there.requests.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "true")
    assert bias(load_model(REFERENCE)) == bias(net) and not there.requests
    assert "HF_HUB_OFFLINE" in refusal(f"{REFERENCE}@v9")


# --- downloads that go wrong ------------------------------------------------------------------------------------------


def test_a_broken_download_goes_on_where_it_broke(there, net, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    there.breaks_off = [11_000_000]
    assert bias(load_model(REFERENCE)) == bias(net)
    ranges = [asked for method, path, asked in there.requests if method == "GET" and "/lfs/" in path]
    assert ranges == [None, f"bytes={10 << 20}-"]


def test_a_wrong_digest(there, parameters, net):
    there.sent = parameters[:-1] + bytes([parameters[-1] ^ 1])
    said = refusal()
    assert hashlib.sha256(parameters).hexdigest() in said and hashlib.sha256(there.sent).hexdigest() in said
    assert "what came twice as model.safetensors" in said
    there.sent = None
    assert bias(load_model(REFERENCE)) == bias(net)  # what was wrong has not stayed


def test_a_file_damaged_in_the_cache(there, monkeypatch, net):
    path = hub.fetch(REFERENCE)
    whole = path.read_bytes()
    path.resolve().write_bytes(whole[:-1] + b"?")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert f"{path} is damaged (its sha256 is " in refusal()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert bias(load_model(REFERENCE)) == bias(net)  # downloaded anew
    assert hub.fetch(REFERENCE).read_bytes() == whole


def test_a_pinned_file_damaged_in_the_cache(there, net):
    pinned = hub.pinned(REFERENCE)
    path = hub.fetch(pinned)
    whole = path.read_bytes()
    path.resolve().write_bytes(whole[:-1] + b"?")
    assert bias(load_model(pinned)) == bias(net) and hub.fetch(pinned).read_bytes() == whole


def test_a_full_or_closed_disk(there, monkeypatch, tmp_path):
    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(CannotWrite, match="the hub's cache .*/hf home/hub cannot be written: No space left on device"):
        hub.fetch(REFERENCE)
    monkeypatch.undo()


def test_a_cache_that_is_a_file(there, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    with pytest.raises(
        CannotWrite, match=r"/file/hub cannot be written: (Not a directory|File exists).*set HF_HOME to"
    ):
        hub.fetch(REFERENCE)


def test_a_cache_that_cannot_be_written_serves_what_it_has(there, net):
    path = hub.fetch(REFERENCE)
    folders = [folder for folder in (path.parents[4], *path.parents[4].rglob("*")) if folder.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert bias(load_model(REFERENCE)) == bias(net)
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_two_processes_at_once(there, parameters):
    code = f"from model_zoo import hub; print(hub.fetch({REFERENCE!r}).stat().st_size)"
    words = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=model_zoo.__path__[0] + "/..")
    processes = [subprocess.Popen([sys.executable, "-c", code], **words) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in processes] == [f"{len(parameters)}\n"] * 2
    assert not list(pathlib.Path(repository.cache()).rglob("*.incomplete"))


def test_without_the_package(monkeypatch, local_hub):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "pip install huggingface_hub" in refusal()


# --- what is no network of the zoo ------------------------------------------------------------------------------------


def test_a_repository_without_parameters(there):
    del there.files[REPOSITORY, "model.safetensors"]
    assert "has neither model.safetensors nor pytorch_model.bin: name another" in refusal()
    there.files[REPOSITORY, "model.safetensors.index.json"] = b"{}"
    assert "holds its parameters in several files" in refusal()


@pytest.mark.parametrize("name, bound", [("config.json", "CONFIG_BYTES"), ("model.safetensors", "PARAMETER_BYTES")])
def test_a_file_of_any_size_is_not_downloaded(name, bound, there, monkeypatch):
    monkeypatch.setattr(timm_config if bound == "CONFIG_BYTES" else hub, bound, 1000)
    there.files[REPOSITORY, name] = bytes(2000)
    assert f"its {name} has 2 kB, and 1 kB are the most" in refusal()
    assert name not in there.downloads() and not any("/lfs/" in path for _, path, _ in there.requests)


def test_parameters_of_another_network(there, parameters):
    there.files[REPOSITORY, "config.json"] = json.dumps({**CONFIG, "architecture": "resnet18"}).encode()
    with pytest.raises(Refused, match="does not hold the parameters of resnet18_v1b.*it looks like a mobilenet1.0"):
        load_model(REFERENCE)
    there.files[REPOSITORY, "config.json"] = json.dumps(CONFIG).encode()
    there.files[REPOSITORY, "model.safetensors"] = parameters[:1000]
    with pytest.raises(Refused, match="model.safetensors is damaged"):
        load_model(REFERENCE)


def test_what_is_taken_is_said_on_one_line_however_it_is_called(there, caplog):
    caplog.set_level(logging.WARNING)
    there.files[REPOSITORY, "config.json"] = json.dumps(
        {**CONFIG, "pretrained_cfg": {"interpolation": "a\nb\x1b[31m" + "c" * 500}}
    ).encode()
    hub.fetch(REFERENCE)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "model_zoo"]
    assert "\n" not in line and "\x1b" not in line and len(line) < 500


@pytest.mark.parametrize(
    "variables",
    [
        {"HF_HOME": "/somewhere"},
        {"HF_HOME": "$HOME/x"},
        {"HF_HUB_CACHE": "~/x"},
        {"HUGGINGFACE_HUB_CACHE": "/y", "HF_HOME": "/somewhere"},
        {"XDG_CACHE_HOME": "/xdg"},
        {},
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(variables, monkeypatch):
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert repository.cache() == runpy.run_path(huggingface_hub.constants.__file__)["HF_HUB_CACHE"]
