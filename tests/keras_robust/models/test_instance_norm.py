import keras
import numpy as np
import pytest

from keras_robust.models import InstanceNormalization

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(2, 7, 5), (2, 8, 6, 3), (2, 4, 5, 6, 2)])
def test_equals_group_normalization_with_one_channel_per_group(shape):
    x = RNG.normal(size=shape).astype("float32")
    ours, theirs = InstanceNormalization(), keras.layers.GroupNormalization(-1, epsilon=1e-5)
    ours.build(shape)
    theirs.build(shape)
    for variable, twin in zip(ours.weights, theirs.weights, strict=True):
        value = RNG.normal(size=variable.shape)
        variable.assign(value)
        twin.assign(value)
    np.testing.assert_allclose(ours(x), theirs(x), atol=2e-5)


def test_does_not_depend_on_scale_and_shift_of_the_input():
    x = RNG.normal(size=(1, 16, 16, 2)).astype("float32")
    layer = InstanceNormalization()
    np.testing.assert_allclose(layer(7 * x - 3), layer(x), atol=1e-4)


def test_variance_survives_a_mean_that_is_large_against_the_spread():
    x = RNG.normal(size=(1, 64, 64, 1)) + 3000.0
    y = InstanceNormalization()(x.astype("float32"))
    assert abs(float(np.std(y)) - 1) < 1e-3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_statistics_are_float32_in_half_precision(policy):
    # Squares of 300 overflow float16.
    x = 300 * RNG.normal(size=(1, 32, 32, 2))
    layer = InstanceNormalization(dtype=policy)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {"float32"}
    reference = InstanceNormalization()(x.astype(layer.compute_dtype).astype("float32"))
    np.testing.assert_allclose(np.asarray(y, "float32"), reference, atol=0.02)


def test_config_round_trip():
    layer = InstanceNormalization(epsilon=1e-3, dtype="mixed_bfloat16", name="n")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert copy.get_config() == layer.get_config()


def test_inputs_without_spatial_axes_are_refused():
    with pytest.raises(ValueError, match=r"spatial.*Received: inputs.shape=\(4, 3\)"):
        InstanceNormalization()(np.zeros((4, 3)))


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (2, 4, 5, 6, 2), (2, 5, 3, 7)])
def test_gradients_equal_those_of_group_normalization(shape):
    import tensorflow as tf

    x, upstream = (tf.constant(RNG.normal(size=shape), tf.float32) for _ in range(2))
    gradients = []
    for layer in (InstanceNormalization(), keras.layers.GroupNormalization(-1, epsilon=1e-5)):
        layer.build(shape)
        layer.gamma.assign(np.linspace(0.5, 2, shape[-1]))
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(layer(x) * upstream)
        gradients.append(tape.gradient(value, [x, layer.gamma.value, layer.beta.value]))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_kernel_agrees_with_the_general_form(monkeypatch):
    import tensorflow as tf

    from keras_robust.models import instance_norm as normalization

    channels = normalization.KERNEL_LANES
    x, upstream = (
        tf.cast(RNG.normal(size=(3, 4, 5, 6, channels)) + 1, "bfloat16").numpy() for _ in range(2)
    )
    found = []
    assert normalization._fits_kernel(x) and not normalization._fits_kernel(x[..., 1:])
    for by_kernel in (True, False):
        if not by_kernel:
            monkeypatch.setattr(normalization, "_fits_kernel", lambda inputs: False)
        layer = InstanceNormalization(dtype="mixed_bfloat16")
        layer.build(x.shape)
        layer.gamma.assign(np.linspace(0.5, 2, channels))
        images = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(images)
            y = layer(images)
            value = tf.reduce_sum(tf.cast(y * upstream, "float32"))
        gradients = tape.gradient(value, [images, layer.gamma.value, layer.beta.value])
        found.append([np.asarray(array, "float32") for array in (y, *gradients)])
    for ours, theirs in zip(*found, strict=True):
        assert np.abs(ours - theirs).max() <= 0.02 * np.abs(theirs).max()


def test_any_size_in_space_is_normalised_where_none_is_known():
    import tensorflow as tf

    layer = InstanceNormalization()
    x = RNG.normal(size=(2, 8, 6, 3)).astype("float32")
    expected = layer(x)
    free = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_allclose(free(x), expected, atol=1e-6)
