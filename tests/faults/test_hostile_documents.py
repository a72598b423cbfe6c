"""Thousands of damaged lists, manifests, indices, records, mean images, annotations, masks, archives and recipes.

Each is refused or read. fuzz.py looks for more of them for as long as one likes.
"""

COUNT = 120  # mutations of the bytes of each file, and as many of its values, if it is text or JSON


def test_each_is_refused_or_read(judgements, tmp_path):
    found = judgements("hostile_documents.py", tmp_path, COUNT)
    totals = {kind: counter["refused"] + counter["read"] for kind, counter in found.items()}
    structured = {kind for kind in totals if kind.endswith((".json", ".txt", ".lst", ".idx"))}
    assert len(totals) == 29 and len(structured) == 15
    assert all(total == (2 if kind in structured else 1) * COUNT for kind, total in totals.items())
    images = {kind for kind in totals if kind.startswith(("photo.", "progressive."))}  # decode_image refuses nothing
    for kind in totals.keys() - images:
        assert found[kind]["refused"] > COUNT / 10, kind  # classes may have any name, and much junk does no harm


def test_each_annotation_and_mask_too(judgements, tmp_path):
    found = judgements("hostile_annotations.py", tmp_path, COUNT)
    totals = {kind: counter["refused"] + counter["read"] for kind, counter in found.items()}
    once = "image with boxes", "mask", "image with a mask"
    twice = ("annotation", "COCO's annotations", "list", "list of a class")
    assert totals == {**dict.fromkeys(once, COUNT), **dict.fromkeys(twice, 2 * COUNT)}
    junk = "list of a class"  # what it says otherwise than the annotations is told, not refused
    assert all(found[kind]["refused"] > COUNT / 4 for kind in totals if kind != junk) and found[junk]["refused"]
