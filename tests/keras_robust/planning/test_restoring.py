import tracemalloc

import numpy as np
import pytest
from scipy.special import expit, softmax

from keras_robust.common import large_arrays
from keras_robust.planning import restoring
from keras_robust.planning.fingerprint import CaseFingerprint, Fingerprint
from keras_robust.planning.plan import make_plan
from keras_robust.planning.preprocessing import Geometry, preprocess_image
from keras_robust.planning.restoring import planned_probabilities, restore

RNG = np.random.default_rng(0)


def planned(shape, spacing, channels=2, **changes):
    """A plan that takes values as they are, and the fingerprint of one image."""
    case = CaseFingerprint(
        id="a", shape=shape, cropped_shape=shape, spacing_mm=spacing, class_voxels=(1, 1, 1)
    )
    found = Fingerprint(
        classes=3, channel_names=("noNorm",) * channels, intensities=None, cases=(case,)
    )
    return make_plan(found, memory_gib=8).model_copy(update=changes), found


def image_of_logits(shape):
    """Two channels, so that what is predicted may be the image itself."""
    return RNG.normal(size=(*shape, 2)).astype("float32")


@pytest.mark.parametrize("shape", [(20, 24, 16), (40, 32)])
def test_one_window_without_resampling_is_the_prediction(shape):
    image = image_of_logits(shape)
    plan, found = planned(shape, (1.0,) * len(shape))
    plan = plan.model_copy(update={"patch_size": shape})
    result = planned_probabilities(lambda patches: patches, image, None, plan, found)
    np.testing.assert_array_equal(result, softmax(image, axis=-1))


def test_several_windows_and_another_spacing_keep_the_place():
    # Thick slices last: the plan has them first, and resamples 2 mm to its 1 mm within slices.
    shape, spacing = (24, 20, 10), (2.0, 2.0, 8.0)
    ramp = np.linspace(0.1, 0.8, shape[0], dtype=np.float32)[:, None, None] * np.ones(shape)
    image = np.stack([ramp, 1 - ramp], axis=-1)
    plan, found = planned(shape, spacing)
    plan = plan.model_copy(update={"spacing_mm": (8.0, 1.0, 1.0), "patch_size": (4, 16, 16)})
    assert plan.axes == (2, 0, 1)
    result = planned_probabilities(
        lambda patches: patches, image, spacing, plan, found, mirror_axes=(0, 1, 2)
    )
    assert result.shape == image.shape
    np.testing.assert_allclose(result.sum(axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(result[1:-1], softmax(image, axis=-1)[1:-1], atol=2e-3)


def test_outside_of_the_crop_is_background():
    shape = (12, 12, 12)
    image = np.zeros((*shape, 2), np.float32)
    image[2:9, 3:12, :5] = 0.5
    plan, found = planned(shape, (1.0, 1.0, 1.0), patch_size=(8, 8, 8))
    result = planned_probabilities(lambda patches: patches, image, None, plan, found)
    inside = image[..., 0] > 0
    np.testing.assert_array_equal(result[~inside], [[1, 0]] * (~inside).sum())
    np.testing.assert_allclose(result[inside], 0.5, rtol=1e-6)
    foreground = planned_probabilities(lambda p: p[..., :1], image, None, plan, found)
    assert not foreground[~inside].any() and (foreground[inside] > 0.5).all()


def test_a_volume_larger_than_the_allowed_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(large_arrays, "IN_MEMORY_BYTES", 2**20)
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 2**16)
    monkeypatch.setattr(restoring, "VOXELS_PER_CALL", 2**14)
    shape = (160, 80, 80)
    image = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.float32, (*shape, 1))
    image[10:] = np.linspace(0.1, 0.8, 150, dtype=np.float32)[:, None, None, None]
    plan, found = planned(shape, (1.0, 1.0, 1.0), 1, patch_size=(16, 32, 32))
    plan = plan.model_copy(update={"spacing_mm": (0.8, 1.0, 1.0), "normalization": ("none",)})
    tracemalloc.start()
    result = planned_probabilities(
        lambda patches: np.concatenate([patches, 0 * patches], -1), image, None, plan, found
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(result, np.memmap) and result.nbytes == 8_192_000
    assert peak < 6e6  # image, normalised and resampled image and predictions have 24 MB
    np.testing.assert_allclose(result[15:-5, 7, 9, 0], expit(image[15:-5, 7, 9, 0]), atol=0.01)


@pytest.mark.parametrize("scheme", ["zscore", "ct", "rescale_to_0_1"])
def test_slabs_of_preprocessing_equal_the_whole(scheme, monkeypatch):
    image = RNG.normal(100, 20, size=(12, 10, 9, 1)).astype("float32")
    image[:3] = 0
    plan, found = planned(image.shape[:-1], (1.0, 1.0, 1.0), 1, only_nonzero=True)
    plan = plan.model_copy(update={"normalization": (scheme,)})
    keys = ("mean", "std", "median", "min", "max", "percentile_00_5", "percentile_99_5")
    known = dict(zip(keys, (100, 20, 100, 0, 200, 70, 130), strict=True))
    found = Fingerprint(**{**found.model_dump(), "intensities": (known,)})
    whole, _, geometry = preprocess_image(image, None, plan, found)
    monkeypatch.setattr(large_arrays, "SLAB_VALUES", 200)
    parts, _, _ = preprocess_image(image, None, plan, found)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert geometry.box[0] == (3, 12)


def test_what_was_predicted_elsewhere_can_be_put_back():
    plan, _ = planned((4, 6, 8), (1.0, 1.0, 1.0))
    geometry = Geometry((4, 6, 8), (1.0, 1.0, 1.0), ((1, 3), (0, 6), (2, 8)), (2, 6, 6))
    inner = RNG.normal(size=(2, 6, 6, 1)).astype("float32")
    result = restore(inner, geometry, plan, 2)
    np.testing.assert_array_equal(result[1:3, :, 2:], expit(inner))
    assert result.sum() == pytest.approx(expit(inner).sum())


def test_windows_are_averaged_as_logits():
    """Logits 0 and 8 of two windows are 4 where these weigh alike, not the logit of a mean."""
    plan, found = planned((6, 6), (1.0, 1.0), 1, patch_size=(4, 6))
    values = iter([0.0, 8.0])
    result = planned_probabilities(
        lambda patches: np.full((*patches.shape[:-1], 1), next(values), np.float32),
        np.ones((6, 6, 1), np.float32),
        None,
        plan.model_copy(update={"normalization": ("none",)}),
        found,
    )
    # Rows 2 and 3 are in both. Row 2 is the centre of the first window (weight 1), the edge of the
    # second (2 from its centre, σ = 1/2: exp(-8)); row 3 is 1 from either centre.
    logits = [0, 0, 8 * np.exp(-8) / (1 + np.exp(-8)), 4, 8, 8]
    np.testing.assert_allclose(result[:, 0, 0], expit(logits), rtol=1e-5)


@pytest.mark.parametrize("regions", [(), ((1, (1, 2)), (2, (2,)))])
def test_regions_are_sigmoids_of_the_mean_of_logits(regions):
    shape = (8, 6)
    plan, found = planned(shape, (1.0, 1.0), 2, patch_size=shape, regions=regions)
    image = image_of_logits(shape)

    def shifted(patches):  # so that mirrored passes differ
        return np.roll(patches, 1, axis=1)

    result = planned_probabilities(shifted, image, None, plan, found, mirror_axes=(0,))
    back = np.flip(np.roll(np.flip(image, 0), 1, axis=0), 0)
    mean = (np.roll(image, 1, axis=0) + back) / 2
    if not regions:
        np.testing.assert_allclose(result, softmax(mean, axis=-1), rtol=1e-5)
        return
    organ, core = np.moveaxis(expit(mean), -1, 0)
    np.testing.assert_allclose(result[..., 2], core, rtol=1e-5)
    np.testing.assert_allclose(result[..., 1], np.maximum(organ - core, 0), atol=1e-6)
