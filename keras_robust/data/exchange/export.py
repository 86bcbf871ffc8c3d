"""What the writers of all formats need: cases of one annotator, their labels, their images."""

import gzip
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_bytes, atomic_write_text
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.exchange.drawing import LABELS
from keras_robust.data.exchange.files import copied, suffix_of
from keras_robust.data.files.formats import read_picture
from keras_robust.data.files.volume_header import is_volume, open_volume
from keras_robust.data.files.volumes import read_volume

__all__ = ["Export"]

IGNORE = "ignore"  # what `labels_of` reads as "unknown"


@dataclass(frozen=True)
class Export:
    """A dataset on its way to another format.

    Args:
        dataset: The dataset.
        chosen: One case for each image.
        folder: Where to write.
        final: Where that will lie at the end.
        copy: Whether images are copied, rather than referred to.
        progress: Called as `progress(done, total)`.
    """

    dataset: Dataset
    chosen: Sequence[Case]
    folder: Path
    final: Path
    copy: bool = True
    progress: Progress | None = None

    @property
    def names(self) -> dict[int, str]:
        """Names of the classes but the background by their labels, that of "unknown" last."""
        told = self.dataset.class_names or (("", "object") if self.dataset.classes == 2 else ())
        names = dict(enumerate(told))
        found = {n: names.get(n) or f"class {n}" for n in range(1, self.dataset.classes)}
        ignore = self.dataset.ignore_label
        return found if ignore is None else {**found, ignore: IGNORE}

    def cases(self, volumes: bool | None = False) -> Iterator[Case]:
        """Each case in turn; volumes, images of two dimensions, or (None) both.

        Raises:
            ValueError: Images where volumes are wanted, or the other way round.
        """
        for done, case in enumerate(self.chosen):
            if self.progress is not None:
                self.progress(done, len(self.chosen))
            if volumes is not None and is_volume(case.image) != volumes:
                kind = "images of two dimensions" if volumes else "volumes"
                expected = f"a format that can hold {kind}"
                raise invalid("format", expected, said=f"another, for {str(case.image)!r}")
            yield case
        if self.progress is not None:
            self.progress(len(self.chosen), len(self.chosen))

    def labels(self, case: Case) -> NDArray[np.uint8]:
        """The mask of a case."""
        return self.dataset.read_mask(case)

    def voxels(self, case: Case) -> NDArray:
        """The image of a volume, channels along a fourth axis where there are several."""
        parts = [read_volume(channel)[0] for channel in case.channels]
        return parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)

    def masks(self, case: Case) -> list[tuple[int, NDArray[np.bool_]]]:
        """The label and the mask of each of `names`."""
        labels = self.labels(case)
        return [(number, labels == number) for number in self.names]

    def image(self, case: Case, folder: Path, start: Path = Path()) -> str:
        """Put the image of a case into `folder` of the export, or refer to it where it is.

        Returns:
            Its path from `start` on, with slashes.

        Raises:
            ValueError: It is in several files.
        """
        if len(case.channels) > 1:
            raise invalid(
                "format",
                "one that holds images of several files",
                said=f"{len(case.channels)} files of {case.id!r}",
            )
        return self.file(case.image, folder / f"{case.id}{suffix_of(case.image)}", start)

    def picture(self, source: Path, target: Path) -> None:
        """Put an image into the export, in the format that its new name says."""
        self.require_copy()
        if suffix_of(source) == suffix_of(target):
            copied(source, self.folder / target)
        elif is_volume(source):
            with open_volume(source) as file:
                content = gzip.compress(file.read(), compresslevel=4, mtime=0)
            atomic_write_bytes(self.folder / target, content)
        else:
            buffer = io.BytesIO()
            picture = read_picture(source)
            colours = picture.colours()
            if colours.dtype != np.uint8 or colours.shape[-1] not in (1, 3):
                raise invalid("format", "one for images of 8 bits", said=f"{str(source)!r}")
            Image.fromarray(colours.squeeze()).save(buffer, "PNG")
            atomic_write_bytes(self.folder / target, buffer.getvalue())

    def require_copy(self) -> None:
        """Refuse to refer to images, in formats that say where these lie.

        Raises:
            ValueError: They are not to be copied.
        """
        if not self.copy:
            raise invalid("copy", "a copy of the images, which this format has in its own folders",
                          self.copy)  # fmt: skip

    def file(self, source: Path, target: Path, start: Path = Path()) -> str:
        """As `image`, of any file and its path in the export."""
        if self.copy:
            copied(source, self.folder / target)
            return Path(os.path.relpath(target, start)).as_posix()
        return Path(os.path.relpath(source.absolute(), (self.final / start).resolve())).as_posix()

    def write_names(self) -> None:
        """Write the names of the classes in their order, for tools whose files do not tell it."""
        atomic_write_text(self.folder / LABELS, "\n".join(self.names.values()) + "\n")
