"""Measures of agreement between segmentations, on NumPy arrays."""

import lazy_loader as _lazy

# Overlap must not cost the import of SciPy, which the surface measures need.
__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "agreement": [
            "PairAgreement",
            "bootstrap_interval",
            "cohen_kappa",
            "confusion_counts",
            "fleiss_kappa",
            "pair_agreement",
            "rating_counts",
        ],
        "calibration": ["Reliability", "expected_calibration_error", "reliability"],
        "overlap": ["dice", "iou", "mean_dice", "pooled_dice"],
        "regions": ["per_region"],
        "surface": [
            "SurfaceMetrics",
            "average_surface_distance",
            "hausdorff_distance",
            "surface_dice",
            "surface_metrics",
        ],
        "volumes": ["relative_volume_difference", "volume", "volume_difference"],
    },
)
