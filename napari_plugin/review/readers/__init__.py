"""Several readers of one data set: agreement, deciding between two, and what comes of a review."""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
