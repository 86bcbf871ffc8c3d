"""One image with the mask of one annotator."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from numpy.typing import NDArray

from keras_robust.data.files.grid import check_channels
from keras_robust.data.files.images import Order, Size, read_image

__all__ = ["Case", "image_of", "ordered"]


@dataclass(frozen=True)
class Case:
    """One image with the mask of one annotator.

    Args:
        id: Name of the image within the dataset; annotators of one image share it.
        image: File of the image, or of its first channel.
        mask: File of the mask; None for an image without one.
        annotator: Who drew the mask, "" without one.
        split: "train", "val", "test", or "" where the dataset has none.
        group: What must not be split up, such as a patient.
        spacing: Pixel size in mm, (row, column), or voxel size along each stored axis; a volume's
            from its header where the dataset does not tell it.
        extra: Further columns of the manifest.
        channels: Files of all channels in order, where they are apart; else only `image`.
    """

    id: str
    image: Path
    mask: Path | None
    annotator: str
    split: str
    group: str | None = None
    spacing: tuple[float, ...] | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not self.channels:
            object.__setattr__(self, "channels", (self.image,))


def image_of(case: Case, size: Size | None = None, *, order: Order = "C") -> NDArray:
    """The image of a case with all its channels: see `keras_robust.data.read_image`.

    Raises:
        ValueError: Channels of volumes with another spacing, orientation or origin.
    """
    check_channels(case.id, case.channels)
    return read_image(case.channels, size, order=order)


def ordered(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The order of every dataset, whatever the order of its rows and files."""
    return tuple(sorted(cases, key=lambda case: (case.id, case.annotator)))
