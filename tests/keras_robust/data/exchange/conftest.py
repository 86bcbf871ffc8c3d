"""A small dataset of three classes, and masks that are compared by id."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Dataset, write_mask

SHAPE = (30, 40)


def blobs(number):
    """Two classes in several parts, one with a hole, one at the border; None of them in image 2."""
    labels = np.zeros(SHAPE, np.uint8)
    if number != 2:
        labels[3 + number : 15, 4:20] = 1
        labels[6:9, 8:12] = 0
        labels[10:22, 15:31] = 2
        labels[27:, 30 + number :] = 1
        labels[20, 2] = 2
    return labels


@pytest.fixture
def folder(tmp_path):
    """Images p0, p1, p2 with masks by anna, and one of them by bo."""
    root = tmp_path / "lesions"
    (root / "images").mkdir(parents=True)
    rows = ["id,image,mask,annotator,split"]
    for number in range(3):
        image = np.random.default_rng(number).integers(0, 255, (*SHAPE, 3)).astype(np.uint8)
        Image.fromarray(image).save(root / f"images/p{number}.png")
        write_mask(root / f"masks/anna/p{number}.png", blobs(number), classes=3)
        split = "test" if number == 2 else "train"
        rows.append(f"p{number},images/p{number}.png,masks/anna/p{number}.png,anna,{split}")
    write_mask(root / "masks/bo/p0.png", blobs(1), classes=3)
    rows.append("p0,images/p0.png,masks/bo/p0.png,bo,train")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    labels = {"background": 0, "cell": 1, "nucleus": 2}
    (root / "dataset.json").write_text(json.dumps({"labels": labels}))
    return root


def masks_of(root):
    """Labels by id and annotator."""
    dataset = Dataset.open(root)
    return {(c.id, c.annotator): dataset.read_mask(c) for c in dataset if c.mask is not None}


def same_masks(root, expected):
    """Whether a dataset holds these masks, by id, and no others."""
    found = {id: mask for (id, _), mask in masks_of(root).items()}
    return found.keys() == expected.keys() and all(
        np.array_equal(found[id], mask) for id, mask in expected.items()
    )
