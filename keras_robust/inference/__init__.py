"""Predicting masks, and scoring predictions against those of a dataset."""

import lazy_loader as _lazy

# Scoring masks on disk must not cost the import of TensorFlow.
__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "ensemble": ["Ensemble"],
        "evaluate": ["Evaluation", "evaluate"],
        "held_out": ["evaluate_run"],
        "planned": ["PlannedPredictor"],
        "predict": ["Predictor", "load_predictor", "predict"],
        "sliding_window": ["gaussian_weights", "sliding_window", "window_starts"],
    },
)
