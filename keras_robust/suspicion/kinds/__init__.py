"""What kind of error a mask seems to have, and where: each kind is judged by what undoing it would
leave."""

from keras_robust.common import faces as _faces

__getattr__, __dir__, __all__ = _faces.attach(__name__, __file__)
