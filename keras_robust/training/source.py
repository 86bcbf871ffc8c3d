"""Where the images and masks of a run come from."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import numpy as np

from keras_robust.data import Dataset


class Source(Protocol):
    """Images and masks by position: `(H, W, C)`, uint8 or float32, and `(H, W)`, uint8 labels or
    float32 probabilities of the foreground, or `(H, W, K)`, those of more classes; of volumes three
    axes."""

    @property
    def ids(self) -> tuple[str, ...]: ...

    def image(self, index: int) -> np.ndarray: ...

    def mask(self, index: int) -> np.ndarray: ...


class DiskSource:
    """Reads and resizes at every access; holds paths only.

    Args:
        dataset: With one case per image.
        size: (height, width) in pixels, or the three sizes of volumes.
        soft: Whether soft masks are read as probabilities, to train on, or as labels.
    """

    def __init__(self, dataset: Dataset, size: tuple[int, ...], soft: bool = False):
        self.dataset = dataset
        self.size = size
        self._read = dataset.read_target if soft else dataset.read_mask
        self.ids = tuple(case.id for case in dataset)

    def image(self, index: int) -> np.ndarray:
        return self.dataset.read_image(self.dataset.cases[index], self.size)

    def mask(self, index: int) -> np.ndarray:
        return self._read(self.dataset.cases[index], self.size)


def require_alike(
    source: Source, index: int, image: np.ndarray, shape: tuple[int, ...], dtype: np.dtype
) -> None:
    """Refuse an image unlike the first: 8-bit images are scaled otherwise than deeper ones."""
    if image.shape != shape or image.dtype != dtype:
        raise ValueError(
            f"Invalid value for image {source.ids[index]!r}. Expected shape {shape} and "
            f"{dtype} as {source.ids[0]!r} has. Received: shape={image.shape}, "
            f"dtype={image.dtype}. Convert all images to one kind first."
        )


class MemorySource:
    """All images `(n, H, W, C)` and masks `(n, H, W)` in memory."""

    def __init__(self, ids: tuple[str, ...], images: np.ndarray, masks: np.ndarray):
        self.ids, self.images, self.masks = ids, images, masks

    @classmethod
    def of(cls, source: Source) -> "MemorySource":
        """Read all of another source."""
        count = range(len(source.ids))
        images = [source.image(index) for index in count]
        for index, image in enumerate(images):
            require_alike(source, index, image, images[0].shape, images[0].dtype)
        masks = np.stack([source.mask(index) for index in count])
        return cls(source.ids, np.stack(images), masks)

    def image(self, index: int) -> np.ndarray:
        return self.images[index]

    def mask(self, index: int) -> np.ndarray:
        return self.masks[index]


class Selected:
    """Some images of another source, in its order."""

    def __init__(self, source: Source, indices: Sequence[int]):
        self.source, self.indices = source, tuple(indices)
        self.ids = tuple(source.ids[index] for index in self.indices)

    def image(self, index: int) -> np.ndarray:
        return self.source.image(self.indices[index])

    def mask(self, index: int) -> np.ndarray:
        return self.source.mask(self.indices[index])


def select(source: Source, ids: Collection[str]) -> Source:
    """The images of a source with these ids, in its order; of what is in memory in memory."""
    indices = [index for index, id in enumerate(source.ids) if id in ids]
    if isinstance(source, MemorySource):
        chosen = tuple(source.ids[index] for index in indices)
        return MemorySource(chosen, source.images[indices], source.masks[indices])
    return Selected(source, indices)


class Relabelled:
    """The images of one source with masks from elsewhere."""

    def __init__(self, source: Source, mask: Callable[[int], np.ndarray]):
        self.source, self.mask = source, mask
        self.ids = source.ids

    def image(self, index: int) -> np.ndarray:
        return self.source.image(index)
