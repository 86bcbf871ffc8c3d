"""Gradients: right where they can be checked, finite everywhere."""

import warnings

import keras
import numpy as np
import pytest

from keras_robust import losses
from tests.keras_robust.losses.helpers import gradients, value
from tests.keras_robust.losses.test_values import PAPER_NAMES, problem

WITH_VOXEL_EVENT = [*PAPER_NAMES, "t-voxel"]


def make(name, **options):
    if name == "t-voxel":
        return losses.TLoss(event="voxel", **options)
    return losses.get(name, **options)


def finite(loss, *args):
    by_prediction, by_parameters = gradients(loss, *args)
    assert np.isfinite(value(loss(*args))).all()
    assert np.isfinite(by_prediction).all()
    assert all(np.isfinite(g).all() for g in by_parameters)
    return by_prediction


@pytest.mark.parametrize("name", WITH_VOXEL_EVENT)
@pytest.mark.parametrize("classes", [1, 3])
def test_gradients_equal_finite_differences(name, classes):
    labels, logits = problem(0, (3, 2), classes=3)
    labels = labels if classes > 1 else np.minimum(labels, 1)
    logits = logits[..., :classes].astype("float64")
    loss = make(name, from_logits=True, dtype="float64")
    with warnings.catch_warnings():
        # JAX has no float64 unless it is switched on, and says so; Keras's operations on PyTorch
        # take detours through float32.
        warnings.simplefilter("ignore")
        analytic, _ = gradients(loss, labels, logits)
        double = keras.backend.backend() == "tensorflow"
        step, rtol, atol = (1e-6, 1e-4, 1e-7) if double else (1e-2, 2e-2, 5e-4)
        for index in np.ndindex(2, 3, 2, classes):
            shift = np.zeros_like(logits)
            shift[index] = step
            up, down = (value(loss(labels, logits + s)) for s in (shift, -shift))
            slope = (up - down) / (2 * step)
            np.testing.assert_allclose(analytic[index], slope, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", WITH_VOXEL_EVENT)
@pytest.mark.parametrize("size", [1e4, -1e4, 0.0])
@pytest.mark.parametrize("classes", [1, 3])
def test_extreme_logits(name, size, classes):
    loss = make(name, from_logits=True)
    labels = np.array([[[0, 1], [1, 0]], [[0, 0], [1, 1]]])
    logits = np.zeros((2, 2, 2, classes), "float32")
    logits[..., -1] = size
    finite(loss, labels, logits)
    logits[:, 0] = -size
    finite(loss, labels, logits)


@pytest.mark.parametrize("name", WITH_VOXEL_EVENT)
@pytest.mark.parametrize("classes", [1, 2])
def test_probabilities_exactly_zero_and_one(name, classes):
    p = np.array([[0.0, 1.0], [1.0, 0.0]], "float32").reshape(1, 2, 2, 1)
    p = p if classes == 1 else np.concatenate([1 - p, p], -1)
    for labels in ([[0, 1], [1, 0]], [[1, 0], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]):
        finite(make(name), np.array([labels]), p)


@pytest.mark.parametrize("name", WITH_VOXEL_EVENT)
def test_one_voxel_empty_and_ignored_images(name):
    finite(make(name), np.array([[[1]]]), np.full((1, 1, 1, 1), 0.3, "float32"))
    empty = np.zeros((2, 4, 4), "int32")
    finite(make(name), empty, np.zeros((2, 4, 4, 1), "float32"))
    finite(make(name), empty, np.full((2, 4, 4, 1), 1e-30, "float32"))
    ignored = np.full((2, 4, 4), 9)
    by_prediction = finite(
        make(name, ignore_label=9), ignored, np.full((2, 4, 4, 1), 0.5, "float32")
    )
    np.testing.assert_array_equal(by_prediction, 0)


def test_two_empty_masks_give_dice_loss_zero_and_gradient_zero():
    empty, nothing = np.zeros((2, 4, 4), "int32"), np.zeros((2, 4, 4, 1), "float32")
    assert value(losses.Dice()(empty, nothing)) == 0
    np.testing.assert_array_equal(gradients(losses.Dice(), empty, nothing)[0], 0)


@pytest.mark.parametrize("name", WITH_VOXEL_EVENT)
def test_ignored_voxels_get_no_gradient(name):
    labels, logits = problem(1)
    labels[:, 0] = 255
    by_prediction, _ = gradients(make(name, from_logits=True, ignore_label=255), labels, logits)
    np.testing.assert_array_equal(by_prediction[:, 0], 0)
    assert np.abs(by_prediction[:, 1:]).max() > 0
