"""Losses for masks that people drew imperfectly, for every Keras 3 backend.

Classes for `model.compile(loss=...)`, sums by operators (`NCE() + RCE() + 0.5 * Dice()`), all of
them by name (`get`), and the pure functions beneath, one value per voxel.
"""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
