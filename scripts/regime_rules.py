"""Runs of `reproduce_regimes.py`, and the rules that might have ended each in time."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from reproduce_regimes import METHODS, PASSES, Setting, dice_of
from scipy.optimize import curve_fit

from keras_robust.training.memorising.looks import is_over, peak, smoothed

LAST = 3
"""The end of a run is the mean of so many looks, since single ones jump."""
DEVELOPMENT = ("cells", "0.7", 100, 0)
"""Data, noise, images and seed of the runs, of `METHODS`, that the constants of rules are from."""
SPREAD, DENIED, SLOWED = 0.35, 0.065, 0.9


class Run:
    """A finished run: its setting, curve and counts."""

    def __init__(self, folder: Path, name: str):
        self.setting = Setting.of(name)
        self.curve = pd.read_csv(folder / "curves" / f"{name}.csv")
        with np.load(folder / "counts" / f"{name}.npz") as stored:
            self.counts = {key: stored[key].astype(np.float64) for key in stored.files}
        self.test_images = dice_of(self.counts["test_clean"])
        self.test = self.test_images.mean(1)
        self.train_clean = dice_of(self.counts["train_clean"]).mean(1)
        self.train_noisy = dice_of(self.counts["train_noisy"]).mean(1)
        self.held_out = dice_of(self.counts["held_out_noisy"]).mean(1)
        self.averaged_images = dice_of(self.counts["test_averaged"])

    @property
    def is_development(self) -> bool:
        s = self.setting
        return (s.data, s.noise, s.images, s.seed) == DEVELOPMENT and s.method in METHODS

    @property
    def end(self) -> float:
        return float(self.test[-LAST:].mean())


def by_held_out(run: Run) -> int:
    """The guard, which sees no more than has passed."""
    for seen in range(1, len(PASSES) + 1):
        if is_over(PASSES[:seen], run.held_out[:seen]):
            break
    return PASSES.index(peak(PASSES[:seen], run.held_out[:seen]))


def by_held_out_whole(run: Run) -> int:
    """The guard that lets training run to its end."""
    return PASSES.index(peak(PASSES, run.held_out))


def by_deceleration(run: Run) -> int:
    """ADELE: the fitted Dice against the masks has lost 90 % of its first slope."""

    def form(t, a, b, c):
        return a * (1 - np.exp(-b * t**c))

    def slope(t, a, b, c):
        return a * b * c * t ** (c - 1) * np.exp(-b * t**c)

    at = np.array(PASSES, float)
    for seen in range(4, len(at) + 1):
        limits = ((0.0, 1e-6, 1e-6), (1.0, 10.0, 5.0))
        found, _ = curve_fit(
            form, at[:seen], run.train_noisy[:seen], (0.7, 0.5, 0.5), bounds=limits, maxfev=20000
        )
        first, now = slope(1.0, *found), slope(at[seen - 1], *found)
        if (first - now) / first > SLOWED:
            return seen - 1
    return len(at) - 1


def by_spread(run: Run) -> int:
    """T-Loss weights part: the standard deviation of ln S over the images has reached a bound."""
    return _first(smoothed(PASSES, run.curve["spread_log_mse"]) > SPREAD)


def by_denied(run: Run) -> int:
    """The networks agree on less than a bound of what the masks deny."""
    return _first(smoothed(PASSES, run.curve["denied"]) < DENIED)


def by_churn(run: Run) -> int:
    """Predictions change least, smoothed, before they change more again."""
    churn = smoothed(PASSES[1:], run.curve["churn"][1:])
    return 1 + _first(np.diff(churn) > 0, len(churn) - 1)


def _first(true: np.ndarray, otherwise: int = len(PASSES) - 1) -> int:
    return int(np.argmax(true)) if np.any(true) else otherwise


GUARD = "the guard: held-out masks, networks averaged"
RULES: dict[str, Callable[[Run], int]] = {
    GUARD: by_held_out,
    "held-out masks, one network": by_held_out,
    "held-out masks, one network of the whole run": by_held_out_whole,
    "deceleration (ADELE)": by_deceleration,
    "spread of T-Loss weights": by_spread,
    "agreement against masks": by_denied,
    "least churn": by_churn,
}
