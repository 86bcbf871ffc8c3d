import numpy as np
import pytest

from keras_robust.metrics import dice, per_region, surface_metrics

REGIONS = {"kidney and masses": (1, 2, 3), "masses": {2, 3}, "tumour": [2]}
A = np.array([[0, 1, 1, 2], [0, 1, 3, 2], [0, 0, 0, 0]])
B = np.array([[0, 1, 1, 3], [0, 1, 2, 2], [0, 0, 1, 0]])


def test_hand_drawn():
    # In all: 6 and 7 pixels, 6 shared. Masses: the same 3. Tumour: 2 and 2 pixels, 1 shared.
    found = per_region(dice, A, B, regions=REGIONS)
    assert found == {"kidney and masses": 12 / 13, "masses": 1.0, "tumour": 0.5}
    assert list(found) == list(REGIONS)


def test_arguments_go_to_the_measure():
    found = per_region(surface_metrics, A, B, (1.0, 2.0), 0.5, regions=REGIONS, missing=0.25)
    for name, labels in REGIONS.items():
        masks = (np.isin(array, list(labels)) for array in (A, B))
        assert found[name] == surface_metrics(*masks, (1.0, 2.0), 0.5)
    missing = per_region(surface_metrics, A, 0 * B, (1, 1), regions=REGIONS, missing=0.25)
    assert missing["tumour"].surface_dice == 0.25


def test_one_label_per_region_is_multi_class():
    found = per_region(dice, A, B, regions={str(k): [k] for k in (1, 2, 3)})
    np.testing.assert_array_equal(list(found.values()), dice(A, B, classes=4))


@pytest.mark.parametrize("regions", [{}, {"tumour": ()}])
def test_regions_hold_labels(regions):
    with pytest.raises(ValueError, match="at least one region, each with at least one label"):
        per_region(dice, A, B, regions=regions)


def test_labels_are_integers():
    with pytest.raises(ValueError, match=r"`a`.*integer labels.*float64"):
        per_region(dice, A * 0.5, B, regions=REGIONS)
    with pytest.raises(ValueError, match=r"Expected the shape of `a`"):
        per_region(dice, A, B[:2], regions=REGIONS)
