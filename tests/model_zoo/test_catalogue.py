from model_zoo import catalogue, keywords, list_models, published, timm_files


def test_the_page_is_what_would_be_written():
    assert catalogue.main(["--check"]) == 0


def test_every_network_has_a_row_with_its_numbers():
    rows = {
        line.split("`")[1]: [cell.strip() for cell in line.split("|")[2:-1]]
        for line in catalogue.TARGET.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and line.count("|") == 8
    }
    assert list(rows) == sorted(rows, key=list_models().index) and rows.keys() == set(list_models())
    source, *numbers, accuracy, peers = rows["resnet50_v1b"]
    assert source.endswith("Bag of Tricks (CVPR 2019): ResNet-B")
    assert numbers == ["224", "25,557,032", "4.09 G"]
    assert accuracy == "77.67 / 93.82 (`0ecdba34`)"  # GluonCV's page
    assert peers == "GluonCV `resnet50_v1b`, timm `resnet50`, torchvision `resnet50`"
    # As torchvision's documentation has them, and MobileNet's document (4.2 million).
    published = {
        **{"resnet18_v1b": "11,689,512", "resnet152_v1b": "60,192,808", "densenet121": "7,978,856"},
        **{"alexnet": "61,100,840", "vgg16": "138,357,544", "mobilenet1.0": "4,231,976"},
    }
    assert {name: rows[name][2] for name in published} == published
    assert rows["zfnet"][-1] == "by hand" and rows["zfnet"][0].startswith("Zeiler and Fergus")
    assert rows["googlenet_2014"][-2] == ""


def test_the_page_lists_the_files_of_each_network():
    page = catalogue.TARGET.read_text(encoding="utf-8")
    lines = page.split("## Weights to download")[1].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    of = [row for row in rows if row[0] == "`resnet50_v1d`"]
    assert of[0][1:3] == [
        '`True`, `"117a384e"`',
        "GluonCV's, sha1 117a384ecf61490eb31ea147eb0e61e6d2b8a449, mixup, label smoothing",
    ]
    assert [row[1] for row in of[1:3]] == ['`"00319ddc"`', '`"hf-hub:timm/resnet50d.a1_in1k"`']
    (copy,) = [row for row in of if "copy" in row[2]]
    assert copy[1:] == [
        '`"hf-hub:timm/resnet50d.gluon_in1k"`',
        *("timm's copy of GluonCV's default", "apache-2.0", "79.08 / 94.46 (224)"),
    ]
    assert "80.55 / 95.16 (224), 81.35 / 95.74 (288)" in [row[4] for row in of]
    references = [file.reference for files in timm_files.FILES.values() for file in files]
    assert [row[1].strip('`"') for row in rows if "hf-hub" in row[1]] == references
    assert sum(len(files) for files in published.PUBLISHED.values()) == len(rows) - len(references)


def test_every_keyword_is_explained():
    known = {key for name in list_models() for key in keywords(name)}
    assert known == set(catalogue.KEYWORDS)


def test_the_keyword_table_tells_who_takes_dilated():
    rows = dict(line[3:].split("` | ", 1) for line in catalogue._keywords().splitlines() if line.startswith("| `"))
    basic = ", ".join(f"`resnet{depth}_v1`" for depth in (18, 26, 34, 50, 101, 152))
    assert rows["dilated"].split(" | ")[1] == (
        f"ResNet, ResNeXt, SE-ResNet but {basic}, `se_resnet50_v1`; MobileNet; DenseNet; "
        "CNN models with batch normalisation but `cvjena_alexnet`, `cvjena_vgg19` |"
    )
    assert rows["final_drop"].endswith("| ResNet, ResNeXt, SE-ResNet; MobileNet; Inception-v3; GoogLeNet |")


def test_the_page_names_what_is_compared_by_names_only():
    page = catalogue.TARGET.read_text(encoding="utf-8")
    named = page.split("but for:\n")[1].split(".\nOf these")[0].replace("\n", " ").split(", ")
    assert len(named) == 16 and "`vgg19_bn`" in named and "`resnet152_v1d`" in named and "`resnet50_v1b`" not in named


def test_a_stale_page_is_told(tmp_path, monkeypatch, capsys):
    page = tmp_path / "model_zoo.md"
    monkeypatch.setattr(catalogue, "TARGET", page)
    monkeypatch.setattr(catalogue, "catalogue", lambda: "new")
    assert catalogue.main(["--check"]) == 2  # not there
    assert catalogue.main([]) == 0 and page.read_text() == "new"
    assert catalogue.main(["--check"]) == 0
    page.write_text("old")
    assert catalogue.main(["--check"]) == 2
    assert "run python -m model_zoo.catalogue" in capsys.readouterr().err
