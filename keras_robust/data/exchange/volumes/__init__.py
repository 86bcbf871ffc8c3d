"""Volumes of other formats, turned into NIfTI where they lie."""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
