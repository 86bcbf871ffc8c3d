"""What is computed of a case before it is shown, in the thread that reads it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_robust.review import ReviewCase, ReviewSession, differing
from napari_plugin.viewer.case_layers import LayerData, case_notes, image_layer
from napari_plugin.viewer.contours import line_width, outline

__all__ = ["Prepared", "Ready", "prepare", "read_ready"]


class Prepared(NamedTuple):
    """All that would keep the window waiting.

    Attributes:
        image: The layer of the image, with its window of grey values.
        outlines: Contours of a picture by "original" and "suggestion"; those of the slices of a
            volume are drawn as they come into view.
    """

    image: LayerData
    outlines: dict[str, NDArray[np.uint8]]


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
    return Prepared(image_layer(image, "image", notes), outlines)


def read_ready(session: ReviewSession, id: str) -> Ready:
    """Read a case and compute what is shown of it.

    Raises:
        ValueError: See `ReviewSession.load`.
    """
    case = session.load(id)
    notes = case_notes(session.dataset, session.item(id).case)
    places = places_of(session, case, notes.get("spacing_mm"))
    return Ready(case, notes, prepare(case, notes), places)


def places_of(session: ReviewSession, case: ReviewCase, spacing_mm: Any) -> tuple[Any, ...]:
    """Where a mask is probably wrong: by the audit, else where the suggestion differs."""
    known = session.places(case.id)
    if known or case.labels is None or case.suggestion is None:
        return tuple(known)
    axis = int(np.argmax(spacing_mm)) if spacing_mm and case.labels.ndim > 2 else 0
    return differing(case.labels, case.suggestion, spacing_mm, axis)
