"""gluon-tricks models: the numbers of a network that somebody else published, found by a part of its name."""

from gluon_tricks.cli import models


def lines(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_line_for_each_published_file(capsys):
    """ResNet-50-D: 25.6 M parameters, 4.3 G in the paper's table 5; GluonCV's table has both files' accuracies."""
    assert models.main(["ResNet50_v1d"]) == 0
    head, _, first, second, _, last = lines(capsys)
    assert head == ["network", "input", "parameters", "multiply-adds", "top-1", "top-5", "tag"]
    assert first == ["resnet50_v1d", "224", "25.6", "M", "4.33", "G", "79.15", "94.58", "117a384e"]
    assert second[-3:] == ["78.48", "94.20", "00319ddc"] and last == ["1", "network"]


def test_parts_of_names(capsys):
    assert models.main(["vgg16", "cifar_plain20"]) == 0
    assert [line[0] for line in lines(capsys)[2:-2]] == ["vgg16", "vgg16_bn", "cifar_plain20"]
    assert models.main(["vgg16", "resnt50"]) == 2
    assert capsys.readouterr().err.startswith("refused: no network has 'resnt50' in its name: did you mean resnet50_v1")


def test_columns_are_aligned(capsys):
    assert models.main(["mobilenet"]) == 0
    table = capsys.readouterr().out.splitlines()[:-2]
    assert len({len(line) for line in table}) == 1 and table[1].replace("-", "").strip() == ""
