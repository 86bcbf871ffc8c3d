import keras
import numpy as np
import pytest

from keras_robust.models import UNet
from keras_robust.models.unet import pooling_strides

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
