"""Mistakes as people make them: parts, objects, outlines, slices, classes and files mixed up.

Each kind has an operator, which is listed here, and beside it in its file a sampler of the same
name after `draw_`.
"""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
