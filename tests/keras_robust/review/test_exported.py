"""What a review decided, in the files of another tool."""

import numpy as np
from pycocotools.coco import COCO

from keras_robust.data import Dataset, export_dataset, import_dataset, sample, sample_path
from keras_robust.review import ReviewSession, write_reviewed


def test_the_result_of_a_review_is_exported_and_reads_back(tmp_path):
    repaired = np.zeros((256, 256), np.uint8)
    repaired[10:20, 30:50] = 1
    with ReviewSession(sample_path(), "anna", output=tmp_path / "home") as session:
        first, second, third = (item.id for item in session.items[:3])
        session.decide(first, "repair", mask=repaired)
        session.decide(second, "reject")
        session.decide(third, "accept")
        name, _ = write_reviewed(session, undecided=False)
    export_dataset(tmp_path / "home", tmp_path / "out", "coco", annotator=name)
    files = list((tmp_path / "out/annotations").glob("*.json"))
    areas = {}
    for coco in map(COCO, files):
        for one in coco.anns.values():
            areas[coco.imgs[one["image_id"]]["file_name"]] = one["area"]
    assert areas[f"{first}.jpg"] == 200 and len(areas) == 2
    import_dataset(tmp_path / "out", tmp_path / "back")
    back = Dataset.open(tmp_path / "back")
    clean = {case.id: sample().read_mask(case) for case in sample().select(ids=[third])}
    expected = {first: repaired, **clean}
    assert {c.id for c in back} == set(expected)
    assert all((back.read_mask(c) == expected[c.id]).all() for c in back)
    # Without the decisions on others: the reviewer's own masks first, then the annotator's.
    export_dataset(
        tmp_path / "home", tmp_path / "all", "folders", annotator=["anna", "isic_gt"], split="train"
    )
    whole = Dataset.open(tmp_path / "all")
    assert len(whole) == 80
