"""What is computed of a case before it is shown, in the thread that reads it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_robust.review import ReviewCase, ReviewSession, differing
from napari_plugin.viewer.case_layers import LayerData, case_notes, image_layer
from napari_plugin.viewer.contours import line_width, outline
from napari_plugin.viewer.windows import is_ct, value_range

__all__ = ["Fullest", "Prepared", "Ready", "fullest", "prepare", "read_ready"]


class Fullest(NamedTuple):
    """The slice that has most of a mask, across the axis with fewest slices.

    Attributes:
        point: Its middle.
        area: How many elements it has of the mask; of a picture, all.
    """

    point: tuple[int, ...]
    area: int


class Prepared(NamedTuple):
    """All that would keep the window waiting.

    Attributes:
        image: The layer of the image, with its window of grey values.
        outlines: Contours of a picture by "original" and "suggestion"; those of the slices of a
            volume are drawn as they come into view.
        fullest: Of what painting starts from.
        ct: Whether the image is a CT.
        values: Its least and greatest value, where they are not those of its type.
    """

    image: LayerData
    outlines: dict[str, NDArray[np.uint8]]
    fullest: Fullest
    ct: bool
    values: tuple[float, float] | None


class Ready(NamedTuple):
    """A case that can be shown at once."""

    case: ReviewCase
    notes: dict[str, Any]
    prepared: Prepared
    places: tuple[Any, ...] = ()


def prepare(case: ReviewCase, notes: dict[str, Any]) -> Prepared:
    """Compute what is shown of a case; any thread may."""
    shape = (64, 64) if case.start_shape is None else case.start_shape
    image = np.zeros((*shape, 1), np.uint8) if case.image is None else case.image
    outlines = {}
    if len(shape) == 2:
        for name, labels in (("original", case.labels), ("suggestion", case.suggestion)):
            if labels is not None:
                outlines[name] = outline(labels, line_width(shape), name == "suggestion")
    layer, start = image_layer(image, "image", notes), case.unchanged
    found = Fullest(tuple(n // 2 for n in shape), 0) if start is None else fullest(start)
    grey = not layer[1].get("rgb")
    values = value_range(image) if grey else None
    return Prepared(layer, outlines, found, grey and is_ct(image), values)


def fullest(labels: NDArray[np.uint8]) -> Fullest:
    """The slice that has most of a mask; where it is empty, that in the middle.

    >>> fullest(np.eye(3, dtype=np.uint8)[:, None].repeat(9, 1) * [[[1]], [[1]], [[0]]])
    Fullest(point=(0, 4, 1), area=9)
    """
    middle = [n // 2 for n in labels.shape]
    if labels.ndim < 3:
        return Fullest(tuple(middle), int(np.count_nonzero(labels)))
    axis = int(np.argmin(labels.shape))
    areas = [int(np.count_nonzero(plane)) for plane in np.moveaxis(labels, axis, 0)]
    if any(areas):
        middle[axis] = int(np.argmax(areas))
    return Fullest(tuple(middle), max(areas))


def read_ready(session: ReviewSession, id: str) -> Ready:
    """Read a case and compute what is shown of it.

    Raises:
        ValueError: See `ReviewSession.load`.
    """
    case = session.load(id)
    notes = case_notes(session.dataset, session.item(id).case)
    places = places_of(session, case, notes.get("spacing_mm"))
    return Ready(case, notes, prepare(case, notes), places)


def read_suggestion(
    session: ReviewSession, case: ReviewCase
) -> tuple[NDArray[np.uint8] | None, tuple[Any, ...]]:
    """The outline, of a picture, and the places of a case with another suggestion than it had."""
    labels = case.suggestion
    drawn = None
    if labels is not None and labels.ndim == 2:
        drawn = outline(labels, line_width(labels.shape), True)
    spacing_mm = case_notes(session.dataset, session.item(case.id).case).get("spacing_mm")
    return drawn, differences(case, spacing_mm)


def places_of(session: ReviewSession, case: ReviewCase, spacing_mm: Any) -> tuple[Any, ...]:
    """Where a mask is probably wrong: by the audit, else where the suggestion differs."""
    known = session.places(case.id)
    return tuple(known) or differences(case, spacing_mm)


def differences(case: ReviewCase, spacing_mm: Any) -> tuple[Any, ...]:
    """Where the annotator's mask and the suggestion part."""
    if case.labels is None or case.suggestion is None:
        return ()
    axis = int(np.argmax(spacing_mm)) if spacing_mm and case.labels.ndim > 2 else 0
    return differing(case.labels, case.suggestion, spacing_mm, axis)
