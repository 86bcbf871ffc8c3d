"""places.csv: each region of a suspicious mask where it and the prediction part."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_robust.common.tables import read_table, write_csv
from keras_robust.data.cases import Case
from keras_robust.data.files.volume_header import is_volume, read_header

if TYPE_CHECKING:
    from keras_robust.suspicion.kinds.places import Place

__all__ = ["PLACES", "AuditPlace", "located", "read_places", "write_places"]

PLACES = "places.csv"
_AXES = 3


@dataclass(frozen=True)
class AuditPlace:
    """A connected region, or run of slices, where a mask and the prediction part.

    Args:
        label: The class that the mask has there; where it has none, the class that it lacks.
        kind: One of `keras_robust.suspicion.KINDS`.
        p_wrong: How probable it is that the mask is wrong there, from 0 to 1.
        centroid: Index along each axis of the array; may lie outside the region.
        centroid_mm: Of volumes the world coordinates by the header of the image; of other images
            the index times the spacing; () where the spacing is not known.
        box: First index and the one after the last, along each axis.
        volume: Volume in mm³, or area in mm²; in elements where `unit` is "px".
        unit: "mm" or "px".
    """

    label: int
    kind: str
    p_wrong: float
    centroid: tuple[float, ...]
    centroid_mm: tuple[float, ...]
    box: tuple[tuple[int, int], ...]
    volume: float
    unit: str = "px"

    @property
    def point(self) -> tuple[int, ...]:
        """The element nearest to the centroid: where to open a window.

        >>> AuditPlace(1, "hole", 0.9, (2.6, 3.0), (), ((1, 5), (2, 5)), 9.0).point
        (3, 3)
        """
        return tuple(round(value) for value in self.centroid)


def located(place: "Place", case: Case) -> AuditPlace:
    """A place of a mask, with where it is in the world."""
    spacing = case.spacing
    middle: tuple[float, ...] = ()
    if spacing:
        middle = tuple(i * step for i, step in zip(place.centroid, spacing, strict=True))
        if is_volume(case.image):
            affine = read_header(case.image, channels=True).affine_mm
            middle = tuple((affine @ np.array([*place.centroid, 1.0]))[:3].tolist())
    return AuditPlace(
        place.label,
        place.kind,
        place.p_wrong,
        place.centroid,
        middle,
        place.box,
        place.volume,
        "mm" if spacing else "px",
    )


def write_places(
    folder: str | Path, places: Iterable[tuple[str, str, Iterable[AuditPlace]]]
) -> Path:
    """Write places.csv, a row per place, the masks in the order given.

    Args:
        folder: Of the audit.
        places: Id, annotator and places of each mask.
    """
    rows = [
        _row(id, annotator, number, place)
        for id, annotator, found in places
        for number, place in enumerate(found, start=1)
    ]
    columns = ["id", "annotator", "place", "class", "kind", "P"]
    for name in ("centroid", "centroid_mm", "box_start", "box_stop"):
        columns += [f"{name}_{axis}" for axis in range(_AXES)]
    return write_csv(Path(folder) / PLACES, [*columns, "volume", "unit"], rows)


def read_places(content: bytes) -> dict[tuple[str, str], tuple[AuditPlace, ...]]:
    """The places of each mask, by id and annotator.

    Raises:
        ValueError, KeyError: It is no such table.
    """
    found: dict[tuple[str, str], list[AuditPlace]] = {}
    for row in read_table(content)[1]:
        found.setdefault((row["id"], row["annotator"]), []).append(_place(row))
    return {mask: tuple(places) for mask, places in found.items()}


def _row(id: str, annotator: str, number: int, place: AuditPlace) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": id,
        "annotator": annotator,
        "place": number,
        "class": place.label,
        "kind": place.kind,
        "P": round(place.p_wrong, 4),
        "volume": round(place.volume, 6),
        "unit": place.unit,
    }
    for axis, (middle, (start, stop)) in enumerate(zip(place.centroid, place.box, strict=True)):
        row |= {f"centroid_{axis}": round(middle, 3), f"box_start_{axis}": start}
        row |= {f"box_stop_{axis}": stop}
    row |= {f"centroid_mm_{axis}": round(mm, 4) for axis, mm in enumerate(place.centroid_mm)}
    return row


def _place(row: Mapping[str, str]) -> AuditPlace:
    def numbers(name: str) -> tuple[float, ...]:
        cells = (row[f"{name}_{axis}"] for axis in range(_AXES))
        return tuple(float(cell) for cell in cells if cell)

    starts, stops = numbers("box_start"), numbers("box_stop")
    return AuditPlace(
        int(row["class"]),
        row["kind"],
        float(row["P"]),
        numbers("centroid"),
        numbers("centroid_mm"),
        tuple((int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)),
        float(row["volume"]),
        row["unit"],
    )
