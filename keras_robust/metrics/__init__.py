"""Measures of agreement between segmentations, on NumPy arrays."""

from keras_robust.metrics.overlap import dice, mean_dice, pooled_dice

__all__ = ["dice", "mean_dice", "pooled_dice"]
