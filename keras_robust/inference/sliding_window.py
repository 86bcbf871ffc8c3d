"""Predictions on images larger than the patch of a network; see `keras_robust.models`."""

from keras_robust.models.sliding_window import gaussian_weights, sliding_window, window_starts

__all__ = ["gaussian_weights", "sliding_window", "window_starts"]
