"""MXNet's own model zoo has some of GluonCV's networks under the same names: its files fit too."""

import numpy as np
import pytest
from mxnet.gluon.model_zoo import vision

from model_zoo import get_model

NAMES = ["alexnet", "densenet121", "inceptionv3", "mobilenet0.25", "resnet18_v1", "resnet50_v1", "vgg11", "vgg11_bn"]


@pytest.mark.parametrize("name", NAMES)
def test_logits_of_what_gluon_saved(name, tmp_path, randomise, images):
    side = max(get_model(name).smallest_side, 33)
    theirs = randomise(vision.get_model(name), side)
    theirs.save_parameters(str(tmp_path / "theirs.params"))
    ours = get_model(name, pretrained=tmp_path / "theirs.params")
    (tmp_path / "theirs.params").unlink()
    x = images(2, side)
    expected = theirs(x).asnumpy()
    np.testing.assert_allclose(ours(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert expected.std() > 1e-3
