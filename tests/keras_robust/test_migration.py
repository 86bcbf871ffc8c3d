"""Each row of the migration guide computes what the guide says, by closed form, NumPy or SciPy."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import ndimage

RECIPES = Path(__file__).parents[2] / "scripts" / "addons_parity" / "recipes.py"


@pytest.fixture(scope="module")
def recipes():
    spec = importlib.util.spec_from_file_location("addons_recipes", RECIPES)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def generator():
    return np.random.default_rng(5)


@pytest.fixture
def images(generator):
    return generator.uniform(size=(2, 17, 23, 3)).astype("float32")


def as_numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def normalized(x, axes):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-3)


def test_instance_normalization_is_per_image_and_channel(recipes, generator):
    x = generator.normal(2, 3, (3, 9, 8, 4)).astype("float32")
    gamma, beta = generator.normal(size=(2, 4)).astype("float32")
    expected = normalized(x.astype("float64"), (1, 2)) * gamma + beta
    result = as_numpy(recipes.instance_normalization(x, gamma, beta))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_group_normalization_is_per_image_and_group(recipes, generator):
    x = generator.normal(2, 3, (3, 9, 8, 6)).astype("float32")
    gamma, beta = generator.normal(size=(2, 6)).astype("float32")
    grouped = normalized(x.astype("float64").reshape(3, 9, 8, 3, 2), (1, 2, 4))
    expected = grouped.reshape(x.shape) * gamma + beta
    result = as_numpy(recipes.group_normalization(x, gamma, beta))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_adamw_subtracts_the_decay_then_takes_adams_step(recipes, generator):
    weights = generator.normal(size=4).astype("float32")
    gradients = generator.normal(size=(20, 4)).astype("float32")
    rate, decay, b1, b2 = 0.01, 0.001, 0.9, 0.999
    w, m, v, path = weights.astype("float64"), 0.0, 0.0, []
    for step, g in enumerate(gradients.astype("float64"), start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        w = w - decay * w
        w = w - rate * np.sqrt(1 - b2**step) / (1 - b1**step) * m / (np.sqrt(v) + 1e-7)
        path.append(w)
    result = as_numpy(recipes.adamw(weights, gradients, rate, decay))
    np.testing.assert_allclose(result, path, rtol=1e-5)


def test_moving_average_starts_at_the_weights_after_the_first_step(recipes, generator):
    weights = generator.normal(size=4).astype("float32")
    gradients = generator.normal(size=(20, 4)).astype("float32")
    path = weights - 0.1 * np.cumsum(gradients.astype("float64"), axis=0)
    average = path[0]
    for w in path[1:]:
        average = 0.9 * average + 0.1 * w
    result = as_numpy(recipes.moving_average(weights, gradients, 0.1, 0.9))
    np.testing.assert_allclose(result, average, rtol=1e-5)


def test_swap_ema_weights_evaluates_the_average_and_trains_on():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[4.0]])])
    model.compile(keras.optimizers.SGD(0.25, use_ema=True, ema_momentum=0.5), loss="mse")
    x, y = np.ones((1, 1)), np.zeros((1, 1))
    callbacks = [keras.callbacks.SwapEMAWeights()]
    history = model.fit(
        x, y, epochs=3, validation_data=(x, y), verbose=0, callbacks=callbacks
    ).history
    # Each step halves the weight: 2, 1, 0.5; their averages are 2, 1.5, 1.
    np.testing.assert_allclose(history["val_loss"], [4.0, 2.25, 1.0], rtol=1e-5)
    np.testing.assert_allclose(history["loss"], [16.0, 4.0, 1.0], rtol=1e-5)


def test_rotation_by_a_right_angle_is_rot90(recipes, generator):
    square = generator.uniform(size=(2, 16, 16, 3)).astype("float32")
    result = as_numpy(recipes.rotate(square, np.pi / 2))
    np.testing.assert_allclose(result, np.rot90(square, axes=(1, 2)), atol=1e-4)


def test_transform_maps_output_to_input_in_x_y_order(recipes, images):
    a, b = (1.1, 0.2, -4.0), (-0.15, 0.9, 3.0)
    result = as_numpy(recipes.transform(images, np.array([*a, *b, 0, 0], "float32")))
    matrix, offset = [[b[1], b[0]], [a[1], a[0]]], [b[2], a[2]]  # SciPy's axes are (y, x)
    for image, ours in zip(images, result, strict=True):
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[..., channel], matrix, offset, order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(ours[..., channel], expected, atol=1e-4)


def test_translation_moves_right_and_down(recipes, images):
    result = as_numpy(recipes.translate(images, (3, 2)))
    expected = np.zeros_like(images)
    expected[:, 2:, 3:] = images[:, :-2, :-3]
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_warp_samples_the_input_at_p_minus_flow(recipes, images, generator):
    flow = generator.normal(0, 4, (2, 17, 23, 2)).astype("float32")
    result = as_numpy(recipes.dense_image_warp(images, flow))
    grid = np.stack(np.meshgrid(np.arange(17), np.arange(23), indexing="ij"))
    for image, ours, vectors in zip(images, result, flow, strict=True):
        points = grid - np.moveaxis(vectors, -1, 0)
        for channel in range(3):
            expected = ndimage.map_coordinates(image[..., channel], points, order=1, mode="nearest")
            np.testing.assert_allclose(ours[..., channel], expected, atol=1e-5)


def test_gaussian_blur_reflects_at_the_border(recipes, images):
    x = np.arange(-2, 3)
    kernel = np.exp(-0.5 * (x / 1.5) ** 2)
    kernel /= kernel.sum()
    expected = images.astype("float64")
    for axis in (1, 2):
        expected = ndimage.correlate1d(expected, kernel, axis, mode="mirror")
    np.testing.assert_allclose(
        as_numpy(recipes.gaussian_filter2d(images, 5, 1.5)), expected, atol=1e-5
    )


def test_mean_filter_reflects_at_the_border(recipes, images):
    expected = ndimage.uniform_filter(images, size=(1, 3, 3, 1), mode="mirror")
    np.testing.assert_allclose(as_numpy(recipes.mean_filter2d(images)), expected, atol=1e-5)


def test_median_filter_keeps_a_step_and_removes_a_speck(recipes):
    image = np.zeros((1, 8, 8, 1), "float32")
    image[:, :, 4:] = 1
    speckled = image.copy()
    speckled[0, 3, 1, 0] = 1
    np.testing.assert_array_equal(recipes.median_filter2d(speckled), image)


def test_focal_loss_sums_the_channels_of_each_pixel(recipes, generator):
    p = generator.uniform(0.01, 0.99, (2, 4, 4, 3)).astype("float32")
    y = (generator.uniform(size=p.shape) < 0.5).astype("float32")
    weight = np.where(y == 1, 0.25, 0.75)
    of_label = np.where(y == 1, p, 1 - p).astype("float64")
    expected = (-weight * (1 - of_label) ** 2 * np.log(of_label)).sum(-1)
    result = as_numpy(recipes.sigmoid_focal_crossentropy(y, p))
    np.testing.assert_allclose(result, expected, rtol=1e-4)


def test_f1_score_is_per_class(recipes):
    y_true = np.array([[1, 0], [1, 1], [0, 1], [1, 0]], "float32")
    y_pred = np.array([[0.9, 0.9], [0.2, 0.8], [0.7, 0.6], [0.6, 0.1]], "float32")
    # Class 0: 2 hits, 1 false, 1 missed; class 1: 2 hits, 1 false, 0 missed.
    result = as_numpy(recipes.f1_score(y_true, y_pred))
    np.testing.assert_allclose(result, [4 / 6, 4 / 5], rtol=1e-6)


def test_connected_components_share_an_edge(recipes):
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 1, 1]], "uint8")
    expected = [[1, 1, 0, 0], [0, 0, 2, 0], [3, 0, 2, 2]]
    np.testing.assert_array_equal(recipes.connected_components(mask[None])[0], expected)


def test_distance_is_to_the_nearest_background_pixel(recipes):
    mask = np.ones((1, 5, 7), "uint8")
    mask[0, 1, 2] = 0
    rows, columns = np.mgrid[:5, :7]
    expected = np.hypot(rows - 1, columns - 2)
    np.testing.assert_allclose(recipes.euclidean_dist_transform(mask)[0], expected)


def test_elastic_transform_is_the_identity_without_force(images):
    result = as_numpy(keras.ops.image.elastic_transform(images, alpha=0.0, sigma=3.0, seed=1))
    np.testing.assert_allclose(result, images, atol=1e-5)


def test_elastic_transform_repeats_with_its_seed_and_keeps_the_range(images):
    def warp(seed):
        return as_numpy(keras.ops.image.elastic_transform(images, alpha=30.0, sigma=3.0, seed=seed))

    first = warp(1)
    np.testing.assert_array_equal(first, warp(1))
    assert np.abs(first - warp(2)).max() > 0.01
    assert images.min() - 1e-5 <= first.min() and first.max() <= images.max() + 1e-5


def test_elastic_transform_with_one_seed_bends_image_and_mask_alike():
    disk = np.hypot(*np.mgrid[-64:64, -64:64]) < 36
    images = np.repeat(disk[None, ..., None], 2, axis=0).astype("float32")
    options = {"alpha": 30.0, "sigma": 3.0, "seed": 1}
    bent = as_numpy(keras.ops.image.elastic_transform(images, **options))
    masks = as_numpy(keras.ops.image.elastic_transform(images, interpolation="nearest", **options))
    assert set(np.unique(masks)) == {0, 1}
    moved = (masks != images).mean()
    apart = ((bent > 0.5) != (masks == 1)).mean()  # the two interpolations round differently
    assert moved > 0.05 and apart < 0.05 * moved
