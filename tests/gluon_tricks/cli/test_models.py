"""gluon-tricks models: the numbers of a network that somebody else published, found by a part of its name."""

from gluon_tricks.cli import models


def lines(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_a_line_for_each_published_file(capsys):
    """ResNet-50-D: 25.6 M parameters, 4.3 G in the paper's table 5; GluonCV's table has both files' accuracies."""
    assert models.main(["ResNet50_v1d"]) == 0
    head, _, first, second, _, theirs, *pruned, _, last = lines(capsys)
    assert head == ["network", "input", "parameters", "multiply-adds", "top-1", "top-5", "tag"]
    assert first == ["resnet50_v1d", "224", "25.6", "M", "4.33", "G", "79.15", "94.58", "117a384e"]
    assert second[-3:] == ["78.48", "94.20", "00319ddc"] and last == "1 network and 4 of GluonCV's own".split()
    assert theirs[:2] == ["GluonCV's", "own"] and pruned[-1][0] == "resnet50_v1d_0.11" and len(pruned) == 5


def test_parts_of_names(capsys):
    assert models.main(["vgg16", "cifar_plain20"]) == 0
    assert [line[0] for line in lines(capsys)[2:-2]] == ["vgg16", "vgg16_bn", "cifar_plain20"]
    assert models.main(["vgg16", "resnt50"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("refused: no network has 'resnt50' in its name: did you mean ") and "resnet50_v1" in said


def test_columns_are_aligned(capsys):
    assert models.main(["mobilenet"]) == 0
    ours, theirs, _ = capsys.readouterr().out.split("\n\n")
    for table in (ours.splitlines(), theirs.splitlines()):
        assert len({len(line) for line in table}) == 1 and table[1].replace("-", "").strip() == ""
        assert all(line.startswith("mobilenet") for line in table[2:])


def test_all_are_listed_without_building_those_of_gluoncv(monkeypatch, capsys):
    """ResNet-18 v2, of whose two files' numbers GluonCV's page has one; of a network made for 320 px the side."""
    monkeypatch.setattr(models, "list_models", lambda: ["cifar_resnet20_v1"])
    assert models.main([]) == 0
    listed = {line[0]: line[1:] for line in lines(capsys) if line}
    assert listed["resnet18_v2"] == ["224", "71.00", "89.92", "a81db45f"]
    assert listed["resnest269"] == ["320", "84.53", "96.98", "11ae7f5d"]
    assert listed["xception71"] == ["299", "-", "-", "-"]
    assert listed["1"] == "network and 88 of GluonCV's own".split()
