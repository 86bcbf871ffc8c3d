"""Measures of agreement between segmentations, on NumPy arrays."""

from keras_robust.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    reliability,
)
from keras_robust.metrics.iou import iou
from keras_robust.metrics.overlap import dice, mean_dice, pooled_dice
from keras_robust.metrics.regions import per_region
from keras_robust.metrics.surface import (
    SurfaceMetrics,
    average_surface_distance,
    hausdorff_distance,
    surface_dice,
    surface_metrics,
)
from keras_robust.metrics.volume import relative_volume_difference, volume, volume_difference

__all__ = [
    "Reliability",
    "SurfaceMetrics",
    "average_surface_distance",
    "dice",
    "expected_calibration_error",
    "hausdorff_distance",
    "iou",
    "mean_dice",
    "per_region",
    "pooled_dice",
    "relative_volume_difference",
    "reliability",
    "surface_dice",
    "surface_metrics",
    "volume",
    "volume_difference",
]
