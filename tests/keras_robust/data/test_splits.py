from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.data import folds, split

IDS = st.lists(st.text(min_size=1, max_size=6), min_size=2, max_size=60, unique=True)
FRACTION = st.floats(0.01, 0.99)


@settings(deadline=None)
@given(IDS, FRACTION, st.integers(0, 9))
def test_parts_are_whole_disjoint_filled_and_of_the_size_asked(ids, fraction, seed):
    first, second = split(ids, fraction, seed)
    assert sorted(first + second) == sorted(ids)
    assert first and second
    if 1 <= round(fraction * len(ids)) < len(ids):
        assert abs(len(first) - fraction * len(ids)) <= 0.5 + 1e-6
    assert split(ids[::-1], fraction, seed) == (first, second)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), min_size=10, max_size=80), FRACTION)
def test_every_stratum_has_its_share(labels, fraction):
    ids = {f"case{i}": label for i, label in enumerate(labels)}
    first, _ = split(list(ids), fraction, 0, stratify=ids)
    if 1 <= round(fraction * len(ids)) < len(ids):
        counts = Counter(ids[id] for id in first)
        for label, total in Counter(labels).items():
            assert abs(counts[label] - fraction * total) < 1 + 1e-6


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=10, max_size=80), FRACTION, st.integers(0, 5))
def test_groups_stay_together(groups, fraction, seed):
    ids = {f"case{i}": group for i, group in enumerate(groups)}
    if len(set(groups)) < 2:
        return
    first, second = split(list(ids), fraction, seed, stratify=dict.fromkeys(ids, 0), group=ids)
    assert not {ids[id] for id in first} & {ids[id] for id in second}
    assert first and second and len(first) + len(second) == len(ids)


@settings(deadline=None)
@given(IDS, st.integers(2, 6), st.integers(0, 9))
def test_folds_are_filled_evenly(ids, count, seed):
    if count > len(ids):
        with pytest.raises(ValueError, match=f"2 to {len(ids)} folds|at least two ids"):
            folds(ids, count, seed)
        return
    fold_of = folds(ids, count, seed)
    sizes = Counter(fold_of.values())
    assert set(fold_of) == set(ids) and set(sizes) == set(range(count))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert folds(ids[::-1], count, seed) == fold_of


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=10, max_size=80), st.integers(2, 4))
def test_folds_keep_groups_together(groups, count):
    ids = {f"case{i}": group for i, group in enumerate(groups)}
    if len(set(groups)) < count:
        return
    fold_of = folds(list(ids), count, group=ids)
    assert len({(ids[id], fold) for id, fold in fold_of.items()}) == len(set(groups))
    sizes = Counter(fold_of.values())
    assert len(sizes) == count
    assert max(sizes.values()) - min(sizes.values()) <= max(Counter(groups).values())


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=6, max_size=60), st.integers(2, 6))
def test_every_fold_gets_its_share_of_every_stratum(strata, count):
    stratum_of = {f"case{i}": stratum for i, stratum in enumerate(strata)}
    fold_of = folds(list(stratum_of), count, stratify=stratum_of)
    everywhere = [dict.fromkeys(stratum_of, 0), stratum_of]  # in total and within each stratum
    for labels in everywhere:
        for label in set(labels.values()):
            found = Counter(fold_of[id] for id in labels if labels[id] == label)
            sizes = [found[fold] for fold in range(count)]
            assert max(sizes) - min(sizes) <= 1
    assert folds(list(stratum_of), count, stratify=dict.fromkeys(stratum_of, "a")) == folds(
        list(stratum_of), count
    )


def test_known_folds_stay_the_same_for_ever():
    fold_of = folds([f"case{i}" for i in range(6)], 3)
    assert [fold_of[f"case{i}"] for i in range(6)] == [0, 2, 2, 0, 1, 1]
    assert folds([f"case{i}" for i in range(6)], 3, seed=1) != fold_of


def test_known_split_stays_the_same_for_ever():
    ids = [f"case{i}" for i in range(8)]
    assert split(ids, 0.25, 0)[0] == ("case3", "case4")
    assert split(ids, 0.5, 0) != split(ids, 0.5, 1)


def test_adding_images_moves_few():
    ids = [f"case{i}" for i in range(1000)]
    before, after = set(split(ids[:990], 0.7)[0]), set(split(ids, 0.7)[0])
    assert len(before - after) <= 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "b"], 0.0), r"`fraction`.*0 < fraction < 1.*fraction=0.0"),
        ((["a", "b"], 1), r"`fraction`"),
        ((["a", "a"], 0.5), r"`ids`.*distinct.*\['a'\]"),
        ((["a"], 0.5), r"`ids`.*at least two.*Received: 1"),
        ((["a", "b"], 0.5, 0, {"a": 1}), r"`stratify`.*every id.*\['b'\]"),
        ((["a", "b"], 0.5, 0, None, {"a": 1}), r"`group`.*every id.*\['b'\]"),
        ((["a", "b"], 0.5, 0, None, {"a": 1, "b": 1}), r"`group`.*at least two groups"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        split(*arguments)
