"""Thousands of damaged lists, manifests, indices, records, images, archives and recipes: each is refused or read."""

COUNT = 120  # mutations of the bytes of each file, and as many of its values, if it is text or JSON


def test_each_is_refused_or_read(judgements, tmp_path):
    found = judgements("hostile_documents.py", tmp_path, COUNT)
    totals = {kind: counter["refused"] + counter["read"] for kind, counter in found.items()}
    structured = {kind for kind in totals if kind.endswith((".json", ".txt", ".lst", ".idx"))}
    assert len(totals) == 23 and len(structured) == 12
    assert all(total == (2 if kind in structured else 1) * COUNT for kind, total in totals.items())
    images = {kind for kind in totals if kind.startswith(("photo.", "progressive."))}  # decode_image refuses nothing
    for kind in totals.keys() - images:
        assert found[kind]["refused"] > COUNT / 10, kind  # classes may have any name, and much junk does no harm
