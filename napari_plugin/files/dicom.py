"""DICOM: a series of slices read, a segmentation written.

No path is made of what a DICOM file says, and nothing that it says of a person reaches names of
layers or messages.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.exchange.dicom.segmentation import write_segmentation as write_labels
from keras_robust.data.exchange.dicom.series import (
    Series,
    by_series,
    is_dicom,
    make_series,
    read_header,
)
from keras_robust.data.exchange.optional import optional
from keras_robust.data.layouts.labels import class_name
from napari_plugin.files.grids import noted
from napari_plugin.viewer.anatomy import towards
from napari_plugin.viewer.case_layers import LayerData, image_layer
from napari_plugin.viewer.windows import window_limits

__all__ = ["is_dicom", "read_series", "write_segmentation"]


def read_series(paths: Sequence[Path]) -> list[LayerData]:
    """The series among DICOM files, each as one volume (slice, row, column).

    Slices are ordered by where they lie; each may be shifted against the one before, as by a tilted
    gantry. Values are rescaled as the files say (CT: Hounsfield units); where a file says that its
    least value is white (MONOCHROME1), they are inverted. Folders in folders and files that are not
    DICOM are left out.

    Args:
        paths: Files, or one folder of them.

    Raises:
        ValueError: No slices, or a series whose slices do not make a volume.
        ImportError: pydicom is not installed.
    """
    files = [f for p in paths for f in (sorted(p.iterdir()) if p.is_dir() else [p])]
    optional("pydicom")
    series = by_series([(f, read_header(f)) for f in files if f.is_file() and is_dicom(f)])
    if not series:
        raise invalid(
            "paths",
            "a series of DICOM images",
            said=f"{len(files)} file(s), none of which is one",
            remedy="Choose the folder that holds the slices.",
        )
    return [_volume(make_series(slices)) for slices in series.values()]


def _volume(series: Series) -> LayerData:
    array, lps, first = series.read(), series.lps, series.headers[0]
    notes: dict[str, Any] = {
        "dataset": "",
        "id": "",
        "annotator": "",
        "spacing_mm": None if series.spacing is None else list(series.spacing),
        # DICOM's world points to the left and the back of the patient, NIfTI's to the others.
        "affine": None if lps is None else (np.diag([-1, -1, 1, 1]) @ lps).tolist(),
        "dicom": [str(file) for file in series.files],
    }
    notes["towards"] = "" if lps is None else towards(notes["affine"])
    modality = str(first.get("Modality", ""))
    name = f"{modality if modality.isalpha() else 'DICOM'} series"
    image, options, kind = image_layer(array[..., np.newaxis], name, notes)
    window = _window(series.headers[len(series.headers) // 2])
    if window is not None:
        options["contrast_limits"] = window
    return image, options, kind


def _window(header: Any) -> tuple[float, float] | None:
    """The first window of a header; `None` without one, or where values are inverted."""
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        return None
    found = []
    for name in ("WindowCenter", "WindowWidth"):
        value = header.get(name)
        try:
            first = value if isinstance(value, int | float) else list(value)[0]
            found.append(float(first))
        except (TypeError, ValueError, IndexError):  # absent, empty, or not a number
            return None
    centre, width = found
    return window_limits(centre, width) if np.isfinite(found).all() and width > 0 else None


def write_segmentation(path: Path, labels: NDArray, meta: dict[str, Any]) -> Path:
    """Write labels as a DICOM segmentation of the series that they were drawn on.

    It belongs to the same patient and study as the series and refers to its slices. Each label
    becomes a segment.

    Args:
        path: File to write, atomically.
        labels: (slice, row, column), of the shape of the series.
        meta: Arguments of the layer; it, or one of the same shape beside it, was read from DICOM.

    Raises:
        ValueError: No series belongs to the labels, or there is no label.
        ImportError: highdicom is not installed.
    """
    labels = np.asarray(labels)
    sources = noted(meta, labels.shape, "dicom")
    if not sources or len(sources) != len(labels):
        raise invalid(
            "labels",
            "labels drawn on a DICOM series that is open",
            said=f"labels of shape {labels.shape} without one",
            remedy="Open the series first, or save as .nii.gz.",
        )
    names = noted(meta, labels.shape, "class_names") or ()
    named = {int(value): class_name(int(value), names) for value in np.unique(labels) if value}
    return write_labels(path, labels, named, [Path(source) for source in sources])
