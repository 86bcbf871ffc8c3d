"""What layers are, how large their elements are, and what follows the list of layers."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_plugin.compare.pair import read_pair
from napari_plugin.viewer.layers import guess, place, role, spacing


def labels(name, **notes):
    metadata = {"keras_robust": notes} if notes else {}
    return Labels(np.zeros((4, 4), np.uint8), name=name, metadata=metadata)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clean", "reference"),
        ("ground truth", "reference"),
        ("noisy-a0.7-b0.7-s0", "noisy"),
        ("T-Loss prediction", "prediction"),
        ("Labels", "reference"),
        ("something", ""),
    ],
)
def test_roles_by_name(name, expected):
    assert role(labels(name)) == expected


def test_notes_say_more_than_names():
    assert role(labels("noisy", role="reference")) == "reference"
    assert role(Labels(np.zeros((4, 4), int), metadata={"keras_robust": "text"}, name="x")) == ""


def test_unknown_masks_fill_the_places_left_from_below():
    image = Image(np.zeros((4, 4)))
    one, two, known = labels("one"), labels("two"), labels("prediction")
    found = guess([image, one, known, two])
    assert found == {"image": image, "reference": one, "noisy": two, "prediction": known}


def test_layers_of_one_image_are_kept_together():
    old = [labels("clean", role="reference", id="a"), labels("n", role="noisy", id="a")]
    new = [labels("clean", role="reference", id="b")]
    found = guess([*old, *new])
    assert found["reference"] is new[0] and found["noisy"] is None


def test_spacing_is_noted_scaled_with_units_or_unknown():
    mask = np.zeros((4, 4), np.uint8)
    noted = Labels(mask, scale=(3, 3), metadata={"keras_robust": {"spacing_mm": [2, 0.5]}})
    assert (spacing(noted).step, spacing(noted).unit) == ((2.0, 0.5), "mm")
    micro = Labels(mask, scale=(500, 500), units=("um", "um"))
    assert spacing(micro).step == pytest.approx((0.5, 0.5)) and spacing(micro).unit == "mm"
    assert spacing(Labels(mask)).unit == "px"
    # A scale without a unit is no millimetre.
    assert spacing(Labels(mask, scale=(2, 1))).unit == "units"


def test_an_affine_alone_places_a_layer():
    lying = np.array([[0, 0.5, 9], [-0.5, 0, 5], [0, 0, 1]])
    layer = Labels(np.zeros((4, 4), int), affine=lying)
    assert spacing(layer).step == (0.5, 0.5) and spacing(layer).unit == "units"
    other = Labels(np.zeros((4, 4), int), **place(layer))
    np.testing.assert_allclose(other.extent.world, layer.extent.world)


def test_masks_that_lie_apart_are_not_compared():
    from napari.components import ViewerModel

    dims = ViewerModel().dims
    one = Labels(np.ones((4, 4), int), name="one", scale=(2, 2))
    moved = Labels(np.ones((4, 4), int), name="moved", scale=(2, 2), translate=(0, 1))
    finer = Labels(np.ones((4, 4), int), name="finer", scale=(2, 1.9))
    alike = Labels(np.ones((4, 4), int), name="alike", affine=np.diag([2, 2.01, 1]))
    bare = Labels(np.ones((4, 4), int), name="bare")
    for other in (moved, finer):
        with pytest.raises(ValueError, match="not one place or spacing"):
            read_pair(one, other, dims, False)
    for other in (alike, bare):
        for pair in ((one, other), (other, one)):
            assert read_pair(*pair, dims, False).spacing.step == pytest.approx((2, 2), abs=0.02)
    known = Labels(np.ones((4, 4), int), scale=(2000, 2000), units=("um", "um"))
    assert read_pair(bare, known, dims, False).spacing.unit == "mm"
    note = {"keras_robust": {"stack": True}}
    stack = [Labels(np.ones((3, 4, 4), int), metadata=note) for _ in range(2)]
    dims.ndim, dims.ndisplay = 3, 3
    with pytest.raises(ValueError, match="leave the 3-D view"):
        read_pair(*stack, dims, True)
    assert read_pair(*stack, dims, False).shape == (3, 4, 4)
    noted = [
        Labels(np.ones((4, 4, 4), int), metadata={"keras_robust": {"affine": affine.tolist()}})
        for affine in (np.eye(4), np.diag([1, 1, 2, 1]), np.eye(4))
    ]
    with pytest.raises(ValueError, match="not one place"):
        read_pair(*noted[:2], dims, False)
    assert read_pair(noted[0], noted[2], dims, False).shape == (4, 4, 4)
