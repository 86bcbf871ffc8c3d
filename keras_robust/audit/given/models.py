"""The predictions of one or several models: their mean, and how far they disagree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.audit.given.finding import model_folders
from keras_robust.audit.given.reading import GivenPredictions
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.files.maps import from_levels, has_map, write_map

__all__ = ["GivenModels", "mean_and_spread"]


@dataclass(frozen=True)
class GivenModels:
    """Predictions of the same images by one or several models.

    Args:
        models: Those of each.
    """

    models: tuple[GivenPredictions, ...]

    @classmethod
    def find(
        cls, folders: Sequence[str | Path], dataset: Dataset, ids: Iterable[str]
    ) -> "GivenModels":
        """Find all models in the folders, and the files of every id.

        Args:
            folders: Of predictions, or of trained nnU-Net models: see `model_folders`.
            dataset: With the images.
            ids: Of those to be judged.

        Raises:
            FileNotFoundError: There is no such folder, or an id has no file.
            ValueError: See `model_folders` and `find_stored`.
        """
        wanted = tuple(ids)
        return cls(
            tuple(
                GivenPredictions.find(
                    places, wanted, dataset.classes, dataset.class_names, dataset.learned_regions
                )
                for folder in folders
                for places in model_folders(Path(folder))
            )
        )

    @property
    def files(self) -> dict[str, list[Path]]:
        """The files of each id, of all models."""
        every = [model.files for model in self.models]
        return {id: [path for files in every for path in files[id]] for id in every[0]}

    def copy(
        self, dataset: Dataset, folder: Path, spread: Path, progress: Progress | None = None
    ) -> None:
        """Write the mean of the predictions as maps of 8 bits; those that are there stay.

        Args:
            dataset: With the masks, whose sizes are expected.
            folder: Where to.
            spread: Where to write how far several models disagree; not made for one.
            progress: Called as `progress(done, total)`.

        Raises:
            ValueError: A prediction cannot be read, or is of another size than its mask.
        """
        models = [model.with_meaning() for model in self.models]
        cases: dict[str, Case] = {c.id: c for c in dataset if c.id in self.models[0].stored}
        channels = 1 if dataset.classes == 2 else dataset.classes
        for number, case in enumerate(cases.values(), start=1):
            if not has_map(folder, case.id, channels):
                shape = dataset.read_mask(case).shape
                mean, apart = mean_and_spread([model.read(case, shape) for model in models])
                if apart is not None:
                    write_map(spread, case.id, apart[..., np.newaxis], like=case.image)
                # Last: where it is there, the other is.
                write_map(folder, case.id, mean, like=case.image)
            if progress is not None:
                progress(number, len(cases))


def mean_and_spread(
    predictions: Sequence[NDArray],
) -> tuple[NDArray, NDArray[np.float32] | None]:
    """The mean of predictions, and how far they disagree.

    Args:
        predictions: `(*spatial, C)` of each model, in [0, 1] or 8-bit; one channel is the
            foreground.

    Returns:
        `(*spatial, C)`, and `(*spatial)`: half of the sum, over classes, of what two models'
        probabilities differ by, the mean over all pairs of models. `None` for one model, of which
        the prediction comes back as it is.

    >>> sure, unsure = np.float32([[1.0], [0.0]]), np.float32([[0.5], [0.0]])
    >>> [part.ravel().tolist() for part in mean_and_spread([sure, unsure])]
    [[0.75, 0.0], [0.5, 0.0]]
    """
    if len(predictions) == 1:
        return predictions[0], None
    values = [from_levels(p) if p.dtype == np.uint8 else np.float32(p) for p in predictions]
    share = 1.0 if values[0].shape[-1] == 1 else 0.5
    apart = [share * np.abs(one - other).sum(axis=-1) for one, other in combinations(values, 2)]
    return np.mean(values, axis=0), np.clip(np.mean(apart, axis=0), 0, 1)
