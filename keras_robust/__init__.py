"""keras-robust: train segmentation models on imperfect masks.

Submodules and losses are loaded on first use, so that ``import keras_robust`` costs nothing and
the numpy-only parts (``noise``, ``metrics``, ``data``) never import Keras.

>>> import keras_robust as kr
>>> kr.noise.LabelNoise(alpha=0.7, beta=0.7, seed=0).alpha
0.7
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

_LOSSES = [
    "CE",
    "Dice",
    "GCE",
    "MAE",
    "NCE",
    "NGCE",
    "RCE",
    "SCE",
    "TLoss",
]

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "data",
        "experiments",
        "inference",
        "losses",
        "metrics",
        "models",
        "noise",
        "training",
    ],
    submod_attrs={"losses": _LOSSES},
)
