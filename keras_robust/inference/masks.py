"""The mask that a prediction becomes: one rule for what is written, measured and shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from keras_robust.data.regions import Regions
from keras_robust.inference.chosen import kept_components
from keras_robust.models.decoding import labels_of
from keras_robust.planning.components import keep_largest

__all__ = ["MaskRule", "paths_of"]


@dataclass(frozen=True)
class MaskRule:
    """From probabilities to labels.

    Args:
        regions: That the model has learned in place of labels.
        largest: Groups of labels of which only the largest part is kept, see `keep_largest`.

    >>> import numpy as np
    >>> MaskRule(largest=((1,),))(np.array([[0.9], [0.1], [0.9], [0.9]]))
    array([0, 0, 1, 1], dtype=uint8)
    """

    regions: Regions = ()
    largest: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, model: Any, regions: Regions = (), postprocess: bool = True) -> "MaskRule":
        """The rule of runs among which `keras-robust choose` has decided what to keep.

        Args:
            model: As `load_predictor` takes it, or a predictor, of which nothing is known on disk.
            regions: Of its predictor.
            postprocess: Keep only what was decided; else all.

        Raises:
            UnreadableFileError: What was decided is damaged.
        """
        return cls(regions, kept_components(paths_of(model)) if postprocess else ())

    def __call__(self, probabilities: NDArray) -> NDArray:
        """Labels `(*spatial)` of probabilities `(*spatial, K)`."""
        return keep_largest(labels_of(probabilities, self.regions), self.largest)


def paths_of(model: Any) -> list[Path]:
    """Where models lie; none of one in memory."""
    if isinstance(model, str | Path):
        return [Path(model)]
    return [Path(one) for one in model] if isinstance(model, Sequence) else []
