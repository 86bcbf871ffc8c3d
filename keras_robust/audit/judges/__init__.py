"""Models that judge the masks of their own dataset: how they train, and how long that takes."""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
