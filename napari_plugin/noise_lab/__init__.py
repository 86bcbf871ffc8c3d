"""Simulate annotation errors: a preview, their effect on a dataset, a new annotator."""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
