from collections import Counter
from pathlib import Path

import pytest

from keras_robust.data import Case, Dataset
from keras_robust.training.config import DataConfig
from keras_robust.training.source import choose_fold


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
