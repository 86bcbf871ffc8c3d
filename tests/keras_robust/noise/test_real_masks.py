"""Masks that people drew."""

import nibabel
import numpy as np
import pytest

from keras_robust import data
from keras_robust.noise import KINDS, MISTAKES, LabelNoise

# Kinds that leave the amount to chance, or have few to choose from.
ALL_OR_NOTHING = ("mirror", "rotate", "other_case", "object_missing", "labels_shifted")
NEAR = [
    kind
    for kind in MISTAKES
    if kind not in ALL_OR_NOTHING and kind not in ("class_changed", "class_swapped")
]


@pytest.fixture(scope="module")
def lesions():
    cases = list(data.sample())[:40]
    return [data.read_mask(case.mask) for case in cases], [case.id for case in cases]


@pytest.mark.parametrize("beta", [0.5, 0.7])
@pytest.mark.parametrize("kind", KINDS)
def test_lesions_change_by_what_is_asked(lesions, kind, beta):
    masks, ids = lesions
    noisy, log = LabelNoise(1.0, beta, kinds=(kind,)).apply(masks, ids)
    # a lesion that nearly fills the image cannot grow: the median, not every one
    assert np.median([done.reached for done in log]) == pytest.approx(beta, abs=0.02)
    expected = {
        "dilate": 2 / (2 + beta),
        "erode": 2 * (1 - beta) / (2 - beta),
        "affine": 1 - beta / 2,
    }[kind]
    assert np.median([done.dice for done in log]) == pytest.approx(expected, abs=0.03)
    for mask, got, done in zip(masks, noisy, log, strict=True):
        assert done.apply(mask).tobytes() == got.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_hippocampus_volumes_with_two_structures(data_pack, kind):
    paths = sorted((data_pack("msd_hippocampus") / "labels").glob("*.nii*"))[:4]
    noise = LabelNoise(1.0, 0.5)
    for path in paths:
        mask = np.asarray(nibabel.load(path).dataobj).astype(np.uint8)
        noisy, done = noise.corrupt(mask, path.name, kind)
        assert set(np.unique(noisy)) == {0, 1, 2} and done.note == ""
        # the two touch, so that growing and moving reach less than asked
        assert 0.15 < done.reached < 0.8
        foreign = (mask > 0) & (noisy > 0) & (mask != noisy)
        assert not foreign.any()
        assert done.apply(mask).tobytes() == noisy.tobytes()


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes_in_hippocampus_volumes(data_pack, kind):
    paths = sorted((data_pack("msd_hippocampus") / "labels").glob("*.nii*"))[:3]
    masks = [np.asarray(nibabel.load(path).dataobj).astype(np.uint8) for path in paths]
    noisy, log = LabelNoise(1.0, 0.4, kinds=(kind,)).apply(masks, [path.name for path in paths])
    for mask, got, done in zip(masks, noisy, log, strict=True):
        assert done.kind == kind and not done.note
        assert done.apply(mask).tobytes() == got.tobytes()
        if kind in NEAR:
            assert done.reached == pytest.approx(0.4, abs=0.15)
