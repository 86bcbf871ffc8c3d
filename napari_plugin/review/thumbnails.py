"""Small pictures of the cases in the queue, made when they come into view."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QIcon, QImage, QPixmap

from keras_robust.data import Case, Dataset
from keras_robust.data.files.volume_header import is_volume
from keras_robust.data.files.volumes import read_slice
from keras_robust.reports.look import to_rgb
from napari_plugin.work.serial_thread import SerialThread

__all__ = ["Thumbnails", "thumbnail"]

SIDE = 48
KEPT = 400
OUTLINE = (230, 159, 0)


class Thumbnails:
    """Icons by id; those of a queue of any length take the memory of a few hundred.

    Args:
        dataset: Where images and masks are.
        ready: Called with an id whose icon has been made.
    """

    def __init__(self, dataset: Dataset, ready: Callable[[str], None]):
        self._dataset, self._ready = dataset, ready
        self._thread = SerialThread("thumbnails")
        self._icons: OrderedDict[str, QIcon] = OrderedDict()
        self._wanted: OrderedDict[str, Case] = OrderedDict()

    def get(self, case: Case) -> QIcon | None:
        """The icon of a case, or `None` while it is being made."""
        icon = self._icons.get(case.id)
        if icon is None:
            self._wanted[case.id] = case
            self._wanted.move_to_end(case.id)
            while len(self._wanted) > 40:  # what was scrolled past is not waited for
                self._wanted.popitem(last=False)
            if self._thread.waiting == 0:
                self._next()
        return icon

    def stop(self) -> None:
        """Make no more."""
        self._wanted.clear()
        self._thread.end()

    def _next(self) -> None:
        if self._wanted:
            id, case = self._wanted.popitem()
            self._thread.ask(
                thumbnail,
                self._dataset,
                case,
                done=lambda picture: self._take(id, picture),
                failed=lambda error: self._take(id, None),
            )

    def _take(self, id: str, picture: NDArray[np.uint8] | None) -> None:
        if picture is None:
            self._icons[id] = QIcon()
        else:
            height, width = picture.shape[:2]
            image = QImage(picture.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
            self._icons[id] = QIcon(QPixmap.fromImage(image))
        while len(self._icons) > KEPT:
            self._icons.popitem(last=False)
        self._ready(id)
        self._next()


def thumbnail(dataset: Dataset, case: Case) -> NDArray[np.uint8]:
    """A picture `(48, 48, 3)` of a case with the outline of its mask; of the middle of a volume.

    >>> from keras_robust.data import sample
    >>> thumbnail(sample(), sample().cases[0]).shape
    (48, 48, 3)
    """
    volume = is_volume(case.image)
    if volume:  # without the half of the file that lies behind
        image = np.stack([read_slice(path) for path in case.channels], axis=-1)
    else:
        image = dataset.read_image(case)
    result = np.ascontiguousarray(_scaled(to_rgb(image)))
    if case.mask is not None:
        try:
            hard = volume and case.annotator not in dataset.soft_annotators
            mask = read_slice(case.mask) if hard else dataset.read_mask(case, anywhere=True)
        except (OSError, ValueError):
            return result
        mask = mask if mask.ndim == 2 else mask[:, :, mask.shape[2] // 2]
        if mask.shape == image.shape[:2]:
            inside = _scaled(mask) > 0
            core = inside.copy()
            core[1:-1, 1:-1] &= (
                inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
            )
            result[inside & ~core] = OUTLINE
    return result


def _scaled(array: NDArray) -> NDArray:
    rows, columns = (np.linspace(0, n - 1, SIDE).round().astype(int) for n in array.shape[:2])
    return array[rows[:, None], columns]
