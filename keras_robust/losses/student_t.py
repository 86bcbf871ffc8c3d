r"""The T-Loss: negative log-likelihood of a Student-t distribution whose ν is learned.

Gonzalez-Jimenez et al., *Robust T-Loss for Medical Image Segmentation*, MICCAI 2023, eq. 4.

Numerics. With $D$ values, $S = \sum\delta^2$ and the Binet function $r$ (what Stirling's formula
leaves of $\ln\Gamma$), eq. 4 equals

$$L = \tfrac D2(1 + \ln 2\pi) + \tfrac{\nu+D}2\ln\frac{\nu+S}{\nu+D}
      + \tfrac12\ln\frac{\nu+D}\nu + r(\tfrac\nu2) - r(\tfrac{\nu+D}2),$$

in which nothing of size $D$ cancels and no $\ln\Gamma$ is left, so that float32 serves from
$D = 1$ to $D = 2\cdot 10^7$ on every backend. Its derivative, with $q = (\nu+D)/(\nu+S)$ and
$\varphi(x) = \psi(x) - \ln x$, is

$$\frac{\partial L}{\partial\nu}
  = \tfrac12\left[q - 1 - \ln q + \varphi(\tfrac\nu2) - \varphi(\tfrac{\nu+D}2)\right].$$
"""

import math
from typing import Any

import keras
from keras import ops

from keras_robust.common.errors import invalid
from keras_robust.losses.base import SegmentationLoss
from keras_robust.losses.probabilities import probabilities
from keras_robust.losses.targets import at_least, sum_over, voxel_weights

LEARNED = "learned"

# r(x) = 1/(12x) - 1/(360x^3) + ..., and φ(x) = -1/(2x) - 1/(12x^2) + 1/(120x^4) - ...
# (Abramowitz & Stegun 6.1.41, 6.3.18), below 1e-8 off for x >= _ASYMPTOTIC.
_R = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)
_PHI = (-1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132)
_ASYMPTOTIC = 4


def student_t_nll(squared_error, dimensions, nu, log_precision=0.0):
    r"""Negative log-likelihood per dimension, $L / D$ of eq. 4, with its exact derivative by ν.

    Args:
        squared_error: $S = \sum\delta^2$ of each event, any shape, >= 0.
        dimensions: $D$ of each event, broadcast against `squared_error`, >= 1.
        nu: degrees of freedom ν > 0, a scalar.
        log_precision: λ of the precision matrix $\Sigma^{-1} = e^\lambda I$, a number or a scalar
            tensor; 0 in the paper.

    Returns:
        Pair ($L / D$, $\partial L/\partial\nu$), each of the shape of `squared_error`. The first
        is differentiable in `squared_error`, neither in `nu` or `log_precision`.
    """
    nu, log_precision = ops.stop_gradient(nu), _constant(log_precision, nu)
    s = squared_error * ops.exp(log_precision)
    total = nu + dimensions
    shift = (s - dimensions) / total
    # log1p keeps ν >> D exact; for S << D the plain ratio does.
    near = ops.abs(shift) < 0.5
    log_ratio = ops.where(
        near,
        ops.log1p(ops.where(near, shift, ops.zeros_like(shift))),
        ops.log(ops.where(near, ops.ones_like(s), (nu + s) / total)),
    )
    constant = 0.5 * ops.log(total / nu) + _binet(nu / 2) - _binet(total / 2)
    per_dimension = (
        0.5 * (1 + math.log(2 * math.pi) - log_precision)
        + 0.5 * (1 + nu / dimensions) * log_ratio
        + constant / dimensions
    )
    u = ops.stop_gradient((dimensions - s) / (nu + s))
    by_nu = 0.5 * (_minus_log1p(u, -log_ratio) + _phi_difference(nu / 2, dimensions / 2))
    return per_dimension, ops.stop_gradient(by_nu)


def nll_by_log_precision(squared_error, dimensions, nu, log_precision):
    r"""$\partial L/\partial\lambda = \frac\nu2\,(e^\lambda S - D) / (\nu + e^\lambda S)$.

    Args: As of `student_t_nll`.

    >>> round(float(nll_by_log_precision(8.0, 4.0, 2.0, 0.0)), 6)  # 2/2 · (8 - 4) / (2 + 8)
    0.4
    """
    nu = ops.stop_gradient(ops.convert_to_tensor(nu))
    s = squared_error * ops.exp(_constant(log_precision, nu))
    return ops.stop_gradient(0.5 * nu * (s - dimensions) / (nu + s))


def _constant(log_precision, like):
    return ops.stop_gradient(ops.convert_to_tensor(log_precision, dtype=like.dtype))


def _minus_log1p(u, log1p_u):
    """u - ln(1 + u), by its series where the two nearly cancel."""
    small = ops.abs(u) < 0.1
    v = ops.where(small, u, ops.zeros_like(u))
    series = ops.zeros_like(v)
    for k in range(10, 1, -1):
        series = 1 / k - v * series
    return ops.where(small, v * v * series, u - log1p_u)


def _binet(x):
    """r(x) = ln Γ(x) - (x - 1/2) ln x + x - ln(2π)/2, x > 0."""
    shifted = x + _ASYMPTOTIC
    # r(x) = r(x + 1) + (x + 1/2) ln(1 + 1/x) - 1
    steps = sum((x + k + 0.5) * ops.log1p(1 / (x + k)) - 1 for k in range(_ASYMPTOTIC))
    return ops.where(x < _ASYMPTOTIC, _series(_R, 1 / shifted, 1) + steps, _series(_R, 1 / x, 1))


def _phi_difference(x, h):
    """φ(x) - φ(x + h) for φ(x) = ψ(x) - ln x, x > 0."""
    near, far = x < _ASYMPTOTIC, x + h < _ASYMPTOTIC
    a = 1 / ops.where(near, x + _ASYMPTOTIC, x)
    b = 1 / ops.where(far, x + h + _ASYMPTOTIC, x + h)
    # The leading terms -1/2x + 1/2(x + h) by their difference, which would cancel otherwise.
    one_step = ops.logical_and(near, ops.logical_not(far))
    gap = h - _ASYMPTOTIC * ops.cast(one_step, keras.backend.standardize_dtype(x.dtype))
    series = -0.5 * gap * a * b + _series(_PHI, a, 2) - _series(_PHI, b, 2)
    return series + _phi_steps(x, near) - _phi_steps(x + h, far)


def _phi_steps(x, needed):
    """φ(x) - φ(x + n) for n = _ASYMPTOTIC, 0 where it is not needed."""
    safe = ops.where(needed, x, ops.ones_like(x))
    steps = ops.log1p(_ASYMPTOTIC / safe) - sum(1 / (safe + k) for k in range(_ASYMPTOTIC))
    return ops.where(needed, steps, ops.zeros_like(x))


def _series(coefficients, t, first_power: int):
    """c0 t^p + c1 t^(p+2) + ... for p = first_power."""
    square = t * t
    result = 0.0
    for c in reversed(coefficients):
        result = c + square * result
    return result * (t if first_power == 1 else square)


@keras.saving.register_keras_serializable(package="keras_robust")
class TLoss(SegmentationLoss):
    r"""Student-t negative log-likelihood with a learned tolerance ν ([MICCAI 2023], eq. 4).

    $$L = -\ln\Gamma(\tfrac{\nu+D}2) + \ln\Gamma(\tfrac\nu2) + \tfrac D2\ln(\pi\nu)
          + \tfrac{\nu+D}2\ln\left(1 + \tfrac{\sum\delta^2}\nu\right),\quad
      \nu = e^{\tilde\nu} + \epsilon,\ \delta = y - f(x).$$

    `model.compile("adam", loss=TLoss())` makes ν̃ one of the model's trainable variables: the
    model's own optimiser trains it, and its checkpoints hold it. In a loop of your own, train
    `loss.trainable_variables` beside the weights of the model; where nobody trains them, the loss
    raises an error when it is differentiated.

    Args:
        nu_tilde: initial ν̃.
        epsilon: ε > 0, the smallest ν.
        event: `"image"`, one Student-t over all D values of an image (the paper): robust to images
            that are wrong as a whole; or `"voxel"`, one Student-t per value (D = 1): robust to
            wrong voxels within an image, too.
        log_precision: λ in $\Sigma^{-1} = e^\lambda I$; 0 in the paper, 1 in its released code.
            `"learned"` trains it from 0 on, as ν̃ is: it then says how large errors are, and ν how
            unlike the images. The gradient of the network hardly changes (see `Choosing a loss`).
        scale: `"per_dimension"` divides by the D of the event, so that learning rates, clipping
            and sums with other losses do not depend on the image size, and gives ν̃ the gradient
            of the undivided likelihood of an event, so that it learns at one speed for every D;
            `"total"` is eq. 4 to the letter (the sum over the voxels of an image for
            `event="voxel"`).
        **options: see `SegmentationLoss`.

    D is the number of values of one image, voxels times channels, less what is ignored. A voxel
    of weight w counts as w voxels.

    [MICCAI 2023]: https://arxiv.org/abs/2306.00753

    >>> loss = TLoss(scale="total")
    >>> loss.nu_tilde, round(loss.nu, 6)
    (0.0, 1.0)
    >>> # D = 2, S = 0.01 + 0.04: ln(2 pi) + 1.5 ln(1.05) for nu = 1
    >>> round(float(loss([[1, 0]], [[[0.9], [0.2]]])), 4)
    1.9111
    """

    takes_logits = True

    def __init__(
        self,
        nu_tilde: float = 0.0,
        epsilon: float = 1e-8,
        event: str = "image",
        log_precision: float | str = 0.0,
        scale: str = "per_dimension",
        **options: Any,
    ):
        super().__init__(**options)
        if not math.isfinite(nu_tilde):
            raise invalid("nu_tilde", "a finite number", nu_tilde)
        if not (epsilon > 0 and math.isfinite(epsilon)):
            raise invalid("epsilon", "epsilon > 0", epsilon)
        if event not in ("image", "voxel"):
            raise invalid("event", 'one of "image", "voxel"', event)
        learned = log_precision == LEARNED
        if not learned and (isinstance(log_precision, str) or not math.isfinite(log_precision)):
            raise invalid("log_precision", f'a finite number or "{LEARNED}"', log_precision)
        if scale not in ("per_dimension", "total"):
            raise invalid("scale", 'one of "per_dimension", "total"', scale)
        self.epsilon, self.event = float(epsilon), event
        self.scale = scale
        self._initial_nu_tilde = float(nu_tilde)
        self._nu_tilde = keras.Variable(nu_tilde, dtype="float32", name="nu_tilde")
        self._log_precision: Any = (
            keras.Variable(0.0, dtype="float32", name="log_precision")
            if learned
            else float(log_precision)
        )

    @property
    def nu_tilde(self) -> float:
        """Current ν̃."""
        return _number(self._nu_tilde)

    @property
    def nu(self) -> float:
        """Current ν = exp(ν̃) + ε, the degrees of freedom."""
        return math.exp(self.nu_tilde) + self.epsilon

    @property
    def learns_precision(self) -> bool:
        """Whether λ is trained."""
        return not isinstance(self._log_precision, float)

    @property
    def log_precision(self) -> float:
        """Current λ."""
        return _number(self._log_precision) if self.learns_precision else self._log_precision

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        aligned = self.align(y_true, y_pred, kept)
        error = ops.square(aligned.targets - probabilities(aligned.predictions, self.from_logits))
        per_image, weights = voxel_weights(sample_weight, aligned.predictions[..., 0])
        if aligned.valid is not None:
            valid = ops.cast(aligned.valid, error.dtype)
            weights = valid if weights is None else weights * valid
        nu = ops.exp(ops.cast(self._nu_tilde, error.dtype)) + self.epsilon
        if self.event == "image":
            values = self._image_event(error, weights, nu)
        else:
            values = self._voxel_event(error, weights, nu)
        return values, per_image, None

    def _nll(self, squared_error, dimensions, nu):
        """L / D of each event, and what adds 0 to a value and their exact derivatives, of a size
        that does not depend on D, to the gradients of ν̃ and λ."""
        precision = self._log_precision
        if self.learns_precision:
            precision = ops.cast(precision, squared_error.dtype)
        nll, by_nu = student_t_nll(squared_error, dimensions, nu, precision)
        derivatives = by_nu * (nu - ops.stop_gradient(nu))
        if self.learns_precision:
            by_precision = nll_by_log_precision(squared_error, dimensions, nu, precision)
            derivatives += by_precision * (precision - ops.stop_gradient(precision))
        return nll, derivatives

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        values, weights, _ = self.weighted_values(y_true, y_pred, sample_weight, kept)
        return values if weights is None else values * weights

    def _image_event(self, error, weights, nu):
        if weights is None:
            squared_error, dimensions = _sum_per_image(error), _values_per_image(error)
            counted = None
        else:
            squared_error = _sum_per_image(error * ops.expand_dims(weights, -1))
            dimensions = _sum_per_image(weights) * error.shape[-1]
            counted = dimensions > 0
            dimensions = ops.where(counted, dimensions, ops.ones_like(dimensions))
        nll, derivatives = self._nll(squared_error, dimensions, nu)
        values = (nll * dimensions if self.scale == "total" else nll) + derivatives
        return values if counted is None else ops.where(counted, values, ops.zeros_like(values))

    def _voxel_event(self, error, weights, nu):
        values = ops.sum(sum(self._nll(error, ops.ones_like(nu), nu)), axis=-1)
        channels = error.shape[-1]
        if weights is None:
            total, dimensions = _sum_per_image(values), _values_per_image(error)
        else:
            total = _sum_per_image(values * weights)
            dimensions = at_least(_sum_per_image(weights) * channels, 1e-12)
        return total if self.scale == "total" else total / dimensions

    def get_config(self) -> dict[str, Any]:
        own = {
            "nu_tilde": self._initial_nu_tilde,
            "epsilon": self.epsilon,
            "event": self.event,
            "log_precision": LEARNED if self.learns_precision else self._log_precision,
            "scale": self.scale,
        }
        return {**own, **super().get_config()}


def _number(variable) -> float:
    return float(ops.convert_to_numpy(ops.copy(variable)))


def _sum_per_image(values):
    return sum_over(values, range(1, len(values.shape)))


def _values_per_image(values):
    count = ops.prod(ops.convert_to_tensor(ops.shape(values)[1:], dtype="int32"))
    return ops.cast(count, values.dtype)
