"""Every sample opens through the manifest, as a person opens it."""

import json
from pathlib import Path

import numpy as np
import pytest

import napari_plugin
from keras_robust.metrics import dice
from napari_plugin.samples import CELLS, PREDICTIONS


def roles(viewer):
    return [layer.metadata["keras_robust"]["role"] for layer in viewer.layers]


@pytest.mark.parametrize("key", ["lesions", "volume", "annotators"])
def test_layers_are_complete_and_of_one_grid(viewer, key):
    viewer.open_sample("keras-robust", key)
    assert roles(viewer)[:2] == ["image", "reference"] and "noisy" in roles(viewer)
    masks = list(viewer.layers)[1:]
    assert len({layer.data.shape for layer in masks}) == 1
    assert all(layer.data.dtype == np.uint8 and layer.data.any() for layer in masks)
    assert len({tuple(layer.scale) for layer in masks}) == 1
    # What differs from the reference really differs; a gold standard may be one expert's mask.
    differing = [layer for layer in masks[1:] if (layer.data != masks[0].data).any()]
    assert len(differing) >= len(masks[1:]) - (key == "annotators")


def test_lesions_have_a_prediction_of_a_real_run(viewer):
    viewer.open_sample("keras-robust", "lesions")
    assert roles(viewer) == ["image", "reference", "noisy", "prediction"]
    clean, noisy, predicted = (layer.data for layer in list(viewer.layers)[1:])
    run = json.loads((PREDICTIONS / "run.json").read_text())
    assert 0.5 < run["dice_test"] < 0.95
    # A model is neither perfect nor blind.
    for one, other in zip(clean, predicted, strict=True):
        assert 0.5 < dice(one, other) < 0.99
    assert all((one != other).any() for one, other in zip(clean, noisy, strict=True))


def test_the_volume_has_spacing_and_affine(viewer):
    viewer.open_sample("keras-robust", "volume")
    assert all(tuple(layer.scale) == (2.0, 0.8, 0.8) for layer in viewer.layers)
    notes = viewer.layers["clean"].metadata["keras_robust"]
    assert np.linalg.norm(np.array(notes["affine"])[:3, 0]) == notes["spacing_mm"][0]


def test_the_cells_keep_their_licence_and_are_small():
    text = (CELLS / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Boston University" in text and "Redistribution" in text
    folder = Path(napari_plugin.__file__).parent / "sample"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000


def test_no_sample_differs_between_two_openings():
    from napari_plugin import samples

    for make in (samples.lesions, samples.volume, samples.annotators):
        for one, other in zip(make(), make(), strict=True):
            np.testing.assert_array_equal(one[0], other[0])
