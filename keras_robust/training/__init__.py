"""Training on dataset folders: configuration, input, `train`, callbacks."""

import lazy_loader as _lazy

# Reading a configuration or a run folder must not cost the import of TensorFlow.
__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "callbacks": ["DivergenceError", "NuLogger", "StopAtNonFinite"],
        "co_teaching": [
            "METHODS",
            "CoTeaching",
            "DisagreementSelection",
            "RobustMethod",
            "SmallLossSelection",
            "StochasticSelection",
            "robust_method",
        ],
        "config": [
            "DataConfig",
            "ModelConfig",
            "NoiseConfig",
            "PlanConfig",
            "SelectionConfig",
            "TrainConfig",
        ],
        "pipeline": ["train"],
        "run": ["Run"],
    },
)
