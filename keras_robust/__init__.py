"""keras-robust: train segmentation models on imperfect masks.

Submodules and losses are loaded on first use, so that ``import keras_robust`` costs nothing and
the numpy-only parts (``noise``, ``metrics``, ``data``) never import Keras.

>>> import keras_robust as kr
>>> kr.noise.LabelNoise(alpha=0.7, beta=0.7, seed=0).alpha
0.7
"""

from keras_robust.common import faces as _faces

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
