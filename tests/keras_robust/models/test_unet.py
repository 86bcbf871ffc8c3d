import keras
import numpy as np
import pytest

from keras_robust.models import UNet
from keras_robust.models.topology import plan_topology
from keras_robust.models.unet import pooling_strides, supervision_weights

RNG = np.random.default_rng(0)


def test_depth_follows_nnunet():
    assert pooling_strides((256, 256)) == [(2, 2)] * 6
    assert len(pooling_strides((512, 512))) == 7
    assert pooling_strides((20, 320, 256))[-1] == (1, 2, 2)


def test_features_double_up_to_the_limit():
    model = UNet((64, 64, 3), features=4, max_features=16)
    convolutions = [w.shape for w in model.weights if w.path.endswith("kernel")]
    down = [shape[-1] for shape in convolutions[:10]]
    assert down == [4, 4, 8, 8, 16, 16, 16, 16, 16, 16]


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (8, 9), (7, 5), (100, 20)])
def test_any_size_comes_out_as_it_went_in(size):
    model = UNet((*size, 2), features=2, max_features=4)
    y = model(RNG.normal(size=(2, *size, 2)))
    assert y.shape == (2, *size, 1)
    assert np.all((np.asarray(y) >= 0) & (np.asarray(y) <= 1))


def test_three_spatial_axes_make_a_3d_network():
    model = UNet((8, 12, 16, 1), classes=3, features=2)
    assert model(np.zeros((1, 8, 12, 16, 1))).shape == (1, 8, 12, 16, 3)


@pytest.mark.parametrize("shape", [(9, 16, 2), (8, 9, 16, 2)])
def test_channels_are_last_whatever_the_setting_of_keras(shape):
    """Padded, pooled and cropped, as the sizes and the encoder ask for."""
    keras.config.set_image_data_format("channels_first")
    try:
        model = UNet(shape, classes=3, features=2, depth=1, encoder="residual")
        again = keras.Model.from_config(model.get_config())
    finally:
        keras.config.set_image_data_format("channels_last")
    expected = UNet(shape, classes=3, features=2, depth=1, encoder="residual")
    assert model.output_shape == again.output_shape == (None, *shape[:-1], 3)
    x = RNG.normal(size=(1, *shape))
    expected.set_weights(model.get_weights())
    np.testing.assert_allclose(model(x), expected(x), rtol=1e-6)


def test_softmax_head_sums_to_one():
    y = UNet((16, 16, 1), classes=4, features=2)(RNG.normal(size=(1, 16, 16, 1)))
    np.testing.assert_allclose(np.sum(y, axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_output_is_float32_in_half_precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = UNet((16, 16, 1), features=2)
    finally:
        keras.config.set_dtype_policy(before)
    assert model.layers[1].compute_dtype != "float32"
    assert keras.backend.standardize_dtype(model(np.zeros((1, 16, 16, 1))).dtype) == "float32"


def test_he_initialisation_keeps_the_scale_of_activations():
    keras.utils.set_random_seed(0)
    model = UNet((32, 32, 3), features=32, depth=1)
    kernel = np.asarray(model.layers[4].kernel)
    assert kernel.shape == (3, 3, 32, 32)
    assert abs(kernel.std() / np.sqrt(2 / (1.0001 * 9 * 32)) - 1) < 0.05


def test_no_deeper_layer_is_needed_for_depth_zero():
    assert UNet((16, 16, 1), features=2, depth=0).output_shape == (None, 16, 16, 1)


def test_a_plan_that_halves_nothing_is_built():
    """An axis of 10 voxels alone is too short to be halved."""
    plan = plan_topology((1, 1), (4, 10))
    assert (plan.strides, plan.kernels) == ((), ((3, 3),))
    options = {"strides": plan.strides, "kernels": plan.kernels, "deep_supervision": True}
    assert UNet((4, 10, 1), features=2, **options).output_shape == (None, 4, 10, 1)


def test_one_image_does_not_influence_another():
    model = UNet((16, 16, 1), features=2)
    x = RNG.normal(size=(3, 16, 16, 1)).astype("float32")
    np.testing.assert_allclose(model(x)[1:2], model(x[1:2]), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (None, 32, 3)}, "input_shape"),
        ({"input_shape": (32, 3)}, "input_shape"),
        ({"input_shape": (32, 32, 3), "depth": 9}, "0 <= depth <= 3.*depth=9"),
        ({"input_shape": (32, 32, 3), "classes": 0}, "classes=0"),
    ],
)
def test_errors_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        UNet(**options)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_saves_and_loads_as_a_keras_file(tmp_path):
    model = UNet((16, 20, 3), features=2)
    model.save(tmp_path / "unet.keras")
    copy = keras.models.load_model(tmp_path / "unet.keras", safe_mode=True)
    x = RNG.normal(size=(1, 16, 20, 3))
    np.testing.assert_array_equal(copy(x), model(x))


# Parameters of dynamic_network_architectures 0.4.4 (the networks of nnU-Net v2 2.8.1), all heads
# of the decoder built: patch, spacing, channels, classes, encoder, parameters.
PUBLISHED = [
    ((256, 256), (1, 1), 3, 2, "plain", 33_472_396),
    ((20, 320, 256), (5, 0.5, 0.5), 1, 4, "plain", 43_531_032),
    ((40, 56, 40), (1, 1, 1), 1, 3, "plain", 5_603_177),
    ((40, 56, 40), (1, 1, 1), 1, 3, "residual", 25_895_593),
]


@pytest.mark.parametrize("patch, spacing, channels, classes, encoder, parameters", PUBLISHED)
def test_as_many_parameters_as_the_published_networks(
    patch, spacing, channels, classes, encoder, parameters
):
    shape = plan_topology(spacing, patch)
    model = UNet(
        (*patch, channels),
        classes=classes,
        max_features=512 if len(patch) == 2 else 320,
        strides=shape.strides,
        kernels=shape.kernels,
        encoder=encoder,
        deep_supervision=True,
    )
    # The lowest head, of weight 0 in the loss, is left out here: features × classes + classes.
    lowest = min(32 * 2 ** (len(shape.strides) - 1), 512 if len(patch) == 2 else 320)
    head = lowest * classes + classes
    assert model.count_params() + head == parameters


def test_deep_supervision_returns_every_stage_but_the_lowest_finest_first():
    model = UNet((32, 64, 2), features=2, deep_supervision=True)
    # The decoder ends at 4 × 8, 8 × 16, 16 × 32 and 32 × 64.
    assert [shape[1:3] for shape in model.output_shape] == [(32, 64), (16, 32), (8, 16)]
    weights = supervision_weights(4)
    # 1, 1/2, 1/4, 1/8 over 15/8
    np.testing.assert_allclose(weights, [8 / 15, 4 / 15, 2 / 15, 1 / 15])


def test_a_residual_block_begins_as_its_shortcut():
    from keras_robust.models.blocks import Blocks

    inputs = keras.Input((8, 8, 4))
    block = keras.Model(inputs, Blocks(2).residual(inputs, 4, 3))
    x = RNG.normal(size=(1, 8, 8, 4)).astype("float32")
    np.testing.assert_allclose(block(x), np.where(x > 0, x, 0.01 * x), atol=1e-6)


def test_anisotropic_strides_and_kernels_keep_the_thick_axis():
    model = UNet(
        (4, 16, 16, 1), features=2, strides=[(1, 2, 2), (2, 2, 2)], kernels=[(1, 3, 3)] * 3
    )
    assert model.output_shape == (None, 4, 16, 16, 1)
    x = np.zeros((1, 4, 16, 16, 1), "float32")
    first = keras.Model(model.input, model.layers[1].output)
    x[0, 2] = 1
    changed = np.abs(np.asarray(first(x)) - np.asarray(first(x * 0))).max(axis=(0, 2, 3, 4))
    assert changed[2] > 0 and not changed[[0, 1, 3]].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": [(2, 2, 2)]}, "`strides`"),
        ({"kernels": [(3, 3)]}, "`kernels`. Expected 4"),
        ({"encoder": "transformer"}, "`encoder`"),
        ({"input_shape": (30, 32, 3), "deep_supervision": True}, "cannot be cropped"),
    ],
)
def test_errors_of_the_topology_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        UNet(**{"input_shape": (32, 32, 3), **options})
