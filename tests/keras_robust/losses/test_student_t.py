"""The T-Loss: eq. 4, its limits, and where ν goes."""

import math

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.losses import TLoss, student_t_nll
from keras_robust.losses.student_t import nll_by_log_precision
from tests.keras_robust.losses import formulas
from tests.keras_robust.losses.helpers import gradients, value


def constant_residual(mean_squared_error, shape):
    """A mask and a prediction that is off by the same amount everywhere."""
    y = np.zeros((1, *shape), "float32")
    return y, np.full((1, *shape, 1), math.sqrt(mean_squared_error), "float32")


@pytest.mark.parametrize("log_precision", [0.0, 1.0])
def test_total_scale_is_equation_4_to_the_letter(log_precision):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (3, 8, 9))
    p = rng.uniform(0, 1, (3, 8, 9, 1)).astype("float32")
    squared = ((y[..., None] - p.astype("float64")) ** 2).sum((1, 2, 3))
    loss = TLoss(nu_tilde=0.3, scale="total", log_precision=log_precision, reduction="none")
    expected = formulas.t_loss(squared, 72, math.exp(0.3) + 1e-8, log_precision)
    np.testing.assert_allclose(value(loss(y, p)), expected, rtol=1e-6)
    per_dimension = TLoss(nu_tilde=0.3, log_precision=log_precision, reduction="none")
    np.testing.assert_allclose(value(per_dimension(y, p)), expected / 72, rtol=1e-6, atol=1e-7)


def test_released_code_is_the_paper_with_scaled_residual():
    """Precision e: S -> e S and a further -D/2."""
    y, p = constant_residual(0.1, (4, 4))
    released = value(TLoss(log_precision=1.0, scale="total")(y, p))
    expected = formulas.t_loss(1.6 * math.e, 16, 1 + 1e-8) - 8
    np.testing.assert_allclose(released, expected, rtol=1e-5)


def test_voxel_event_is_one_student_t_per_value():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, (2, 5, 6))
    p = rng.uniform(0, 1, (2, 5, 6, 1)).astype("float32")
    squared = (y[..., None] - p.astype("float64")) ** 2
    expected = formulas.t_loss(squared, 1, math.exp(-1.5) + 1e-8)
    loss = TLoss(nu_tilde=-1.5, event="voxel")
    np.testing.assert_allclose(value(loss(y, p)), expected.mean(), rtol=1e-5)
    total = TLoss(nu_tilde=-1.5, event="voxel", scale="total", reduction="none")
    np.testing.assert_allclose(value(total(y, p)), expected.sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("dimensions", [16, 4096, 256**2, 128**3, 2 * 10**7])
@pytest.mark.parametrize("nu_tilde", [-5.0, -3.0, 0.0, 3.0])
@pytest.mark.parametrize("mse", [0.003, 0.1, 0.5])
def test_float32_agrees_with_float64_from_few_to_many_dimensions(dimensions, nu_tilde, mse):
    nu = float(np.float32(math.exp(nu_tilde)))
    squared = float(np.float32(mse * dimensions))
    nll, by_nu = student_t_nll(
        keras.ops.convert_to_tensor(squared, "float32"),
        keras.ops.convert_to_tensor(float(dimensions), "float32"),
        keras.ops.convert_to_tensor(nu, "float32"),
    )
    expected = formulas.t_loss(squared, dimensions, nu) / dimensions
    # The likelihood is a sum of terms of size 1, and crosses 0.
    np.testing.assert_allclose(value(nll), expected, rtol=1e-6, atol=1e-7)
    expected = formulas.t_loss_by_nu(squared, dimensions, nu)
    # Both halves of the derivative are O(1 + D / (nu + S)); where they cancel, so do digits.
    scale = 0.5 * ((nu + dimensions) / (nu + squared) + 1 / nu)
    np.testing.assert_allclose(value(by_nu), expected, rtol=1e-6, atol=3e-7 * scale)


@pytest.mark.parametrize("shape", [(4, 4), (256, 256), (128, 128, 128), (4472, 4472)])
def test_values_and_both_gradients_of_whole_images(shape):
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, (1, *shape)).astype("uint8")
    p = rng.uniform(0, 1, (1, *shape, 1)).astype("float32")
    dimensions = y.size
    error = y[..., None] - p.astype("float64")
    squared = (error**2).sum()
    nu = math.exp(-3) + 1e-8
    loss = TLoss(nu_tilde=-3)
    np.testing.assert_allclose(
        value(loss(y, p)), formulas.t_loss(squared, dimensions, nu) / dimensions, rtol=1e-6
    )
    by_prediction, (by_nu_tilde,) = gradients(loss, y, p)
    expected = -(nu + dimensions) * error / (nu + squared) / dimensions
    np.testing.assert_allclose(by_prediction, expected, rtol=3e-6, atol=1e-12)
    expected = math.exp(-3) * formulas.t_loss_by_nu(squared, dimensions, nu)
    np.testing.assert_allclose(by_nu_tilde, expected, rtol=1e-6)


def test_total_scale_has_the_gradient_of_equation_4():
    y, p = constant_residual(0.1, (64, 64))
    _, (by_nu_tilde,) = gradients(TLoss(nu_tilde=-2, scale="total"), y, p)
    nu = math.exp(-2) + 1e-8
    expected = math.exp(-2) * formulas.t_loss_by_nu(float((p**2).sum()), 4096, nu)
    np.testing.assert_allclose(by_nu_tilde, expected, rtol=1e-4)


@given(
    nu_tilde=st.floats(-4, 4),
    scales=st.lists(st.floats(0.1, 1.0), min_size=2, max_size=2, unique=True).map(sorted),
)
@settings(max_examples=30, deadline=None)
def test_small_errors_are_penalised_like_mse(nu_tilde, scales):
    """Appendix A, eq. 4: for δ -> 0 the loss is a linear function of δ²."""
    if TLoss(dtype="float64").compute_dtype == "float32":
        pytest.skip("float64 is switched off in this backend")
    rng = np.random.default_rng(3)
    direction = rng.uniform(0, 1, (1, 4, 4, 1))
    y = np.zeros((1, 4, 4))
    small = 1e-3 * math.exp(nu_tilde / 2)
    loss = TLoss(nu_tilde=nu_tilde, scale="total", dtype="float64")
    at_zero, first, second = (
        float(value(loss(y, (s * small * direction).astype("float32")))) for s in (0.0, *scales)
    )
    nu = math.exp(nu_tilde)
    for s, at in zip(scales, (first, second), strict=True):
        expected = (nu + 16) / 2 * ((s * small * direction) ** 2).sum() / nu
        assert at - at_zero == pytest.approx(expected, rel=2e-2, abs=2e-5)


@pytest.mark.parametrize("nu_tilde", [-8.0, -4.0])
def test_large_errors_are_penalised_like_their_logarithm(nu_tilde):
    """Appendix A, eq. 5: for δ² >> ν the loss is (ν + D) ln δ + constant."""
    y = np.zeros((1, 8, 8))
    loss = TLoss(nu_tilde=nu_tilde, scale="total")
    at = [float(value(loss(y, np.full((1, 8, 8, 1), d, "float32")))) for d in (0.25, 0.5, 1.0)]
    slope = (math.exp(nu_tilde) + 64) * math.log(2)
    assert at[1] - at[0] == pytest.approx(slope, rel=5e-3)
    assert at[2] - at[1] == pytest.approx(slope, rel=1e-3)


def test_large_nu_is_the_gaussian():
    """ν -> ∞: D/2 ln 2π + S/2."""
    y, p = constant_residual(0.2, (16, 16))
    expected = 0.5 * math.log(2 * math.pi) + 0.1
    np.testing.assert_allclose(value(TLoss(nu_tilde=25)(y, p)), expected, rtol=1e-6)


@given(
    squared=st.floats(0.01, 1e4),
    dimensions=st.integers(1, 10**6),
    nu_tilde=st.floats(-6, 6),
)
@settings(max_examples=100, deadline=None)
def test_loss_grows_with_the_residual_and_its_log_slope_is_bounded(squared, dimensions, nu_tilde):
    nu = keras.ops.convert_to_tensor(math.exp(nu_tilde), "float32")
    d = keras.ops.convert_to_tensor(float(dimensions), "float32")
    values = [
        float(value(student_t_nll(keras.ops.convert_to_tensor(s, "float32"), d, nu)[0]))
        for s in (squared, 2 * squared)
    ]
    bound = 0.5 * (1 + math.exp(nu_tilde) / dimensions) * math.log(2)
    assert -1e-6 <= values[1] - values[0] <= bound * (1 + 1e-3) + 1e-6


# Minimum of eq. 4 over ν̃ for one level of mean squared error and D >= 64².
FIXED_POINTS = {0.30: 0.10, 0.10: -1.44, 0.03: -2.77, 0.01: -3.90, 0.003: -5.11}


@pytest.mark.parametrize("mse", FIXED_POINTS)
@pytest.mark.parametrize("dimensions", [64**2, 256**2, 96**3])
def test_the_gradient_vanishes_at_the_fixed_points(mse, dimensions):
    def slope(nu_tilde):
        tensors = (mse * dimensions, float(dimensions), math.exp(nu_tilde))
        return float(
            value(student_t_nll(*(keras.ops.convert_to_tensor(t, "float32") for t in tensors))[1])
        )

    assert slope(FIXED_POINTS[mse] - 0.05) < 0 < slope(FIXED_POINTS[mse] + 0.05)


def test_nu_follows_nu_tilde():
    loss = TLoss(nu_tilde=-1.25, epsilon=0.5)
    assert loss.nu_tilde == -1.25
    assert loss.nu == pytest.approx(math.exp(-1.25) + 0.5)
    loss.trainable_variables[0].assign(0.75)
    assert loss.nu_tilde == 0.75


def learned(nu_tilde=0.0, log_precision=0.0, **options) -> TLoss:
    loss = TLoss(nu_tilde=nu_tilde, log_precision="learned", **options)
    loss.trainable_variables[1].assign(log_precision)
    return loss


@pytest.mark.parametrize("event", ["image", "voxel"])
@pytest.mark.parametrize("scale", ["per_dimension", "total"])
def test_a_learned_precision_changes_no_value(event, scale):
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, (3, 4, 5))
    p = rng.uniform(0, 1, (3, 4, 5, 1)).astype("float32")
    options = {"nu_tilde": -0.5, "event": event, "scale": scale, "reduction": "none"}
    found, fixed = learned(log_precision=1.5, **options), TLoss(log_precision=1.5, **options)
    np.testing.assert_allclose(value(found(y, p)), value(fixed(y, p)), rtol=1e-6)
    by_found, (by_nu, _) = gradients(found, y, p)
    by_fixed, (fixed_by_nu,) = gradients(fixed, y, p)
    np.testing.assert_allclose(by_found, by_fixed, rtol=1e-6)
    np.testing.assert_allclose(by_nu, fixed_by_nu, rtol=1e-6)


@given(
    mse=st.floats(1e-4, 1.0),
    dimensions=st.integers(1, 10**7),
    nu_tilde=st.floats(-4, 8),
    precision=st.floats(-3, 8),
)
@settings(max_examples=60, deadline=None)
def test_the_slope_by_log_precision_is_that_of_equation_4(mse, dimensions, nu_tilde, precision):
    nu, squared = math.exp(nu_tilde), mse * dimensions
    found = float(value(nll_by_log_precision(squared, float(dimensions), nu, precision)))
    steps = [formulas.t_loss(squared, dimensions, nu, precision + h) for h in (-1e-3, 1e-3)]
    # Differences of numbers of size D lose digits.
    assert found == pytest.approx((steps[1] - steps[0]) / 2e-3, rel=1e-3, abs=1e-6 * dimensions)


def test_precision_learns_from_each_image_by_hand():
    # D = 4 and ν = 1 + 1e-8; squared errors S of 1 and 4, λ = ln 2: s = 2 and 8.
    # ½ ν (s - D) / (ν + s): ½ · -2/3 and ½ · 4/9, their mean -1/18.
    y = np.zeros((2, 2, 2))
    p = np.stack([np.full((2, 2, 1), 0.5), np.full((2, 2, 1), 1.0)]).astype("float32")
    for scale in ("per_dimension", "total"):
        _, (_, by_precision) = gradients(learned(0.0, math.log(2), scale=scale), y, p)
        assert by_precision == pytest.approx(-1 / 18, rel=1e-5)


@pytest.mark.parametrize("mse", [0.3, 0.01])
def test_maximum_likelihood_brings_the_squared_errors_to_their_number(mse):
    """e^λ S = D, after which ν grows without end where all images are alike."""
    y, p = constant_residual(mse, (16, 16))
    best = -math.log(mse)
    slopes = [
        float(gradients(learned(0.0, best + step), y, p)[1][1]) for step in (-0.05, 0.0, 0.05)
    ]
    assert slopes[0] < 0 < slopes[2]
    assert slopes[1] == pytest.approx(0, abs=1e-6)
    assert all(float(gradients(learned(t, best), y, p)[1][0]) < 0 for t in (-2.0, 0.0, 2.0))


def test_an_ignored_image_teaches_no_precision():
    y, p = constant_residual(0.1, (4, 4))
    two = np.concatenate([y, np.full_like(y, 255)]), np.concatenate([p, p])
    options = {"ignore_label": 255, "reduction": "sum"}
    _, (_, of_two) = gradients(learned(**options), *two)
    _, (_, of_one) = gradients(learned(**options), y, p)
    assert of_two == pytest.approx(float(of_one), rel=1e-6)


def test_a_learned_precision_is_a_parameter_like_nu():
    loss = TLoss(log_precision="learned")
    assert [v.name for v in loss.parameters] == ["nu_tilde", "log_precision"]
    again = TLoss.from_config(loss.get_config())
    assert again.learns_precision
    assert again.log_precision == 0.0
    loss.trainable_variables[1].assign(2.5)
    assert loss.log_precision == 2.5
    assert not TLoss(log_precision=1.0).learns_precision
    with pytest.raises(ValueError, match='a finite number or "learned"'):
        TLoss(log_precision="free")
