"""What the T-Loss says of a mask: its residual, and the weight that it gives the image."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from keras_robust.suspicion.base import Score, once_per_mask
from keras_robust.suspicion.judged import Comparison

__all__ = ["TResidual", "TWeight", "inverse_weights", "most_likely_nu", "squared_residual"]

# Beyond these the weights of all images are equal, or no longer change.
LOG_NU = (-12.0, 12.0)


class TResidual(Score):
    """S/D, the mean squared difference of mask and probabilities."""

    def __init__(self, classes: int, nu: float | None = None):
        super().__init__(classes, nu)
        self._residuals: list[tuple[float, int]] = []

    def judge(self, comparison: Comparison) -> None:
        self._residuals.append(squared_residual(comparison))

    def scores(self) -> list[float]:
        return [s / d if d else 0.0 for s, d in self._residuals]


class TWeight(TResidual):
    """(ν+S)/(ν+D), one over the weight that the T-Loss gives the image."""

    def scores(self) -> list[float]:
        s, d = np.array(self._residuals, float).reshape(-1, 2).T
        weights = inverse_weights(s, d, most_likely_nu(s, d) if self.nu is None else self.nu)
        return np.where(d > 0, weights, 0.0).tolist()


@once_per_mask
def squared_residual(comparison: Comparison) -> tuple[float, int]:
    """S, the sum of the squared differences of mask and probabilities, and D, their number.

    Elements that are ignored do not count. Two classes are one probability per element, more are
    one per element and class.
    """
    known = comparison.known
    if comparison.classes == 2:
        return float(np.square(1 - comparison.given_known, dtype=np.float64).sum()), int(
            known.sum()
        )
    total = 0.0
    for label, probability in enumerate(comparison.probabilities):
        difference = np.subtract(comparison.labels == label, probability, dtype=np.float32)[known]
        total += float(np.square(difference, dtype=np.float64).sum())
    return total, int(known.sum()) * comparison.classes


def most_likely_nu(residuals: NDArray[np.float64], dimensions: NDArray[np.float64]) -> float:
    """The ν at which the T-Loss over all images is least, as it would be after training.

    Args:
        residuals: S of each image, `(n,)`.
        dimensions: D of each image, `(n,)`; those without elements do not count.

    Reference:
        Gonzalez-Jimenez et al., Robust T-Loss, MICCAI 2023, equation 4.

    >>> round(most_likely_nu(np.array([1e4, 1e4]), np.array([1e5, 1e5])), 2)  # MSE 0.1
    0.24
    """
    counted = dimensions > 0
    s, d = residuals[counted], dimensions[counted]
    if not s.size:
        return 1.0

    def loss(log_nu: float) -> float:
        nu = np.exp(log_nu)
        terms = gammaln(nu / 2) - gammaln((nu + d) / 2)
        terms += (nu + d) / 2 * np.log(nu + s) - nu / 2 * log_nu
        return float(np.mean(terms / d))

    from scipy.optimize import minimize_scalar  # slow to import

    return float(np.exp(minimize_scalar(loss, bounds=LOG_NU, method="bounded").x))


def inverse_weights(
    residuals: NDArray[np.float64], dimensions: NDArray[np.float64], nu: float
) -> NDArray[np.float64]:
    """(ν + S) / (ν + D) of each image: one over the weight that the T-Loss gives its residuals.

    >>> inverse_weights(np.array([0.0, 50.0]), np.array([99.0, 99.0]), nu=1.0).tolist()
    [0.01, 0.51]
    """
    return (nu + residuals) / (nu + dimensions)
