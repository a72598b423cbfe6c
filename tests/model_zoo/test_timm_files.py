"""The table of timm's files is timm's own registry; and each copy of a file of GluonCV's computes what timm's does."""

import json

import numpy as np
import pytest
import safetensors.numpy

import model_zoo
from model_zoo import get_model, gluoncv_peers, list_models, published, timm_files, weights

COPIES = {name: timm_files.copy_of(name) for name in timm_files.FILES if timm_files.copy_of(name)}


@pytest.fixture(scope="module")
def registry(torch_libraries):
    return torch_libraries.timm.models._registry


def test_every_network_that_timm_has_too_is_listed(registry):
    theirs = {name: model_zoo._of_default(name).peers.get("timm") for name in list_models()} | gluoncv_peers.TIMM
    assert timm_files.ARCHITECTURES == {name: peer.model for name, peer in theirs.items() if peer}
    for files in timm_files.FILES.values():
        assert len({file.name.partition(".")[0] for file in files}) == 1


@pytest.mark.parametrize("name", timm_files.FILES)
def test_files_of(name, torch_libraries, registry):
    files = {file.name: file for file in timm_files.FILES[name]}
    known = torch_libraries.timm.list_pretrained(f"{timm_files.ARCHITECTURES[name]}.*")
    configs = {tagged: registry.get_pretrained_cfg(tagged) for tagged in known}
    assert [*files] == [tagged for tagged, config in configs.items() if config.num_classes]  # those with a head
    for tagged, file in files.items():
        config = configs[tagged]
        assert file.reference == f"hf-hub:{config.hf_hub_id}" and file.licence == config.license
        sizes = {config.input_size[1], (config.test_input_size or config.input_size)[1]}
        assert {side for side, _, _ in file.scores} == sizes
        assert all(50 < top1 < top5 < 100 for _, top1, top5 in file.scores)


def test_every_copy_of_a_file_of_gluoncv_s_is_known(torch_libraries):
    assert {file.name for file in COPIES.values()} == set(torch_libraries.timm.list_pretrained("*.gluon_in1k"))
    assert COPIES.keys() <= published.PUBLISHED.keys()


def test_copies_score_as_what_they_are_copies_of():
    """timm resizes otherwise, so not to the last digit."""
    for name, file in COPIES.items():
        (_, top1, _), original = file.scores[0], published.PUBLISHED[name][0]
        if original.top1:  # GluonCV's page has none for some
            assert abs(top1 - original.top1) < 0.25, name


def test_what_architectures_were_called_before(registry):
    """Those of networks of the zoo."""
    ours = timm_files.ARCHITECTURES.values()
    today = {old: new.partition(".")[0] for old, new in registry._deprecated_models.items() if new}
    assert timm_files.FORMERLY == {old: new for old, new in today.items() if new in ours}


@pytest.mark.parametrize("name", gluoncv_peers.TIMM)
def test_names_and_shapes_of_gluoncv_s_own_networks(name, torch_libraries):
    with torch_libraries.torch.device("meta"):  # shapes without numbers
        theirs = torch_libraries.timm.create_model(gluoncv_peers.TIMM[name].model, num_classes=7).state_dict()
    expected = {key: tuple(value.shape) for key, value in theirs.items() if not key.endswith("num_batches_tracked")}
    empty = {key: np.broadcast_to(np.float32(0), shape) for key, shape in expected.items()}
    ours = get_model(name, classes=7)
    written = weights.as_theirs(ours, weights.as_ours(ours, empty), "timm")
    assert {key: value.shape for key, value in written.items()} == expected


def as_saved(torch_libraries, architecture, classes):
    """timm's network with random numbers, and the two files of its repository."""
    torch, timm = torch_libraries.torch, torch_libraries.timm
    net = timm.create_model(architecture, num_classes=classes).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
                value.uniform_(0.4, 1.1)
            elif value.is_floating_point():
                bound = (4.5 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.4
                value.uniform_(-bound, bound)
    return net, safetensors.numpy.save({key: value.numpy() for key, value in net.state_dict().items()})


# One of each kind of block, as it takes long; test_equals_torch.py compares the logits of the others.
@pytest.mark.parametrize(
    "name",
    ["resnet18_v1b", "resnet50_v1d", "se_resnext50_32x4d", "inceptionv3", "resnest14", "hrnet_w18_small_v1_c"],
)
def test_a_copy_computes_what_timm_s_network_does(name, torch_libraries, local_hub, monkeypatch, tmp_path, images):
    """Through the whole way: GluonCV's server has nothing, the hub has timm's file and timm's own config."""
    torch, copy = torch_libraries.torch, COPIES[name]
    theirs, parameters = as_saved(torch_libraries, copy.name, 7)
    torch_libraries.timm.models.save_for_hf(theirs, tmp_path, safe_serialization=False)
    local_hub.files = {
        (f"timm/{copy.name}", "config.json"): (tmp_path / "config.json").read_bytes(),
        (f"timm/{copy.name}", "model.safetensors"): parameters,
    }
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:9")
    ours = get_model(name, pretrained=True, classes=7)
    x = images(1, 64 if name.startswith("hrnet") else max(ours.smallest_side, 33))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x.asnumpy())).numpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    config = json.loads((tmp_path / "config.json").read_text())["pretrained_cfg"]
    assert ours.preprocessing.input_size == config["input_size"][1]
    np.testing.assert_allclose(ours.preprocessing.mean, 255 * np.array(config["mean"]), atol=1e-3)
    np.testing.assert_allclose(ours.preprocessing.std, 255 * np.array(config["std"]), atol=1e-3)
