"""Datasets on disk: reading, verifying, splitting, simulating annotators, and a sample.

>>> from keras_robust import data
>>> train = data.sample().select(split="train")
>>> data.read_mask(train.cases[0].mask, size=(64, 64)).shape
(64, 64)
"""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
