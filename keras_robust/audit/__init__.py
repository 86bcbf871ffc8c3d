"""Suspicious masks of a dataset: models that have not seen them, scores, and the report."""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
