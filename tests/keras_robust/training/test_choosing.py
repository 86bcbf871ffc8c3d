from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Case, Dataset
from keras_robust.training.choosing import choose_fold
from keras_robust.training.config import DataConfig
from keras_robust.training.source import DiskSource, MemorySource


def cells(kinds):
    """Images drawn by two, of whom only the rows of `gold` say what kind of cell they show."""
    cases = [
        Case(f"c{number}", Path(f"c{number}.png"), Path("m.png"), annotator, "", extra=extra)
        for number, kind in enumerate(kinds)
        for annotator, extra in (("crowd", {"kind": ""}), ("gold", {"kind": kind}))
    ]
    return Dataset(Path("."), "cells", 2, tuple(cases))


def test_folds_get_their_share_of_the_values_of_a_column():
    dataset = cells("aaaaaabbb")
    config = DataConfig(path=".", train_split=None, fold=(1, 3), stratify="kind")
    outside, within = choose_fold(dataset, "crowd", config)
    kinds = {case.id: case.extra["kind"] for case in dataset if case.annotator == "gold"}
    assert Counter(kinds[id] for id in within.ids) == {"a": 2, "b": 1}
    assert {*outside.ids, *within.ids} == set(dataset.ids) and len(outside) == 6


def test_a_column_with_gaps_is_refused():
    config = DataConfig(path=".", train_split=None, fold=(0, 2), stratify="kind")
    with pytest.raises(ValueError, match=r"without one for \['c1'\] \(of 1\)"):
        choose_fold(cells(["a", "", "b"]), "crowd", config)


def test_images_of_8_bits_and_deeper_ones_are_not_mixed_in_memory(tmp_path):
    for name, dtype in {"a": np.uint8, "b": np.uint16}.items():
        Image.fromarray(np.eye(4, dtype=dtype)).save(tmp_path / f"{name}.png")
    rows = [f"{name},{name}.png,a.png,me,train" for name in "ab"]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,image,mask,annotator,split", *rows]))
    with pytest.raises(ValueError, match="image 'b'.*uint8 as 'a' has.*float32.*to one kind"):
        MemorySource.of(DiskSource(Dataset.open(tmp_path), (4, 4)))
