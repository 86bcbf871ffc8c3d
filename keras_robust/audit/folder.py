"""Reading the folder of an audit: which masks are suspicious, the predictions, the error maps."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.audit.places import PLACES, AuditPlace, read_places
from keras_robust.common.artefacts import DamagedFileError, read_artefact
from keras_robust.common.errors import invalid
from keras_robust.common.opening import read_json, shown
from keras_robust.common.tables import read_table, write_csv
from keras_robust.data.files.maps import above_half, read_map
from keras_robust.data.files.names import file_name
from keras_robust.suspicion.class_differences import ClassDifferences

__all__ = ["Audit", "AuditCase", "audit_folder", "error_map_folder", "read_audit", "write_cases"]

INFO, TABLE, PREDICTIONS, ERROR_MAPS = "audit.json", "audit.csv", "predictions", "error_maps"
SPREAD, JUDGES = "spread", "judges.json"
_REMEDY = "The same `keras-robust audit` writes it again; or copy it again."
_COLUMNS = ("rank", "id", "annotator", "score", "p_wrong", "kind")
_FIGURES = tuple(item.name for item in fields(ClassDifferences) if item.name != "label")

_KINDS = {"annotators": list, "classes": int, "dataset": str, "ranked_by": str, "scores": dict}


def audit_folder(dataset: str | os.PathLike[str]) -> Path:
    """Where the audit of a dataset lies unless told otherwise: beside it, wherever one works from.

    >>> audit_folder("/data/lesions").as_posix()
    '/data/lesions-audit'
    """
    root = Path(dataset).resolve()
    return root.with_name(f"{root.name}-audit")


@dataclass(frozen=True)
class AuditCase:
    """One mask of an audit: a row of audit.csv.

    Args:
        rank: From 1, the most suspicious.
        id: Name of the image.
        annotator: Who drew the mask.
        score: The one that ranks.
        kind: The kind of error, one of `keras_robust.suspicion.KINDS`.
        scores: Every score by name; higher is more suspicious.
        classes: Figures of every foreground class.
        unit: Of lengths in `classes`: "mm", or "px" where the spacing is not known.
        mask_sha256: Hash of the file of the mask that was judged.
        places: Where it and the prediction part, rows of places.csv, worst first.
        p_wrong: How probable it is that the mask is wrong; NaN in audits before there was one.
    """

    rank: int
    id: str
    annotator: str
    score: float
    kind: str
    scores: Mapping[str, float]
    classes: tuple[ClassDifferences, ...] = ()
    unit: str = "px"
    mask_sha256: str = ""
    places: tuple[AuditPlace, ...] = ()
    p_wrong: float = float("nan")


@dataclass(frozen=True, repr=False)
class Audit:
    """The folder of an audit.

    Args:
        folder: Where it is.
        info: What audit.json says: dataset, annotators, scores, settings.
        cases: The masks, most suspicious first.
    """

    folder: Path
    info: Mapping[str, Any] = field(repr=False)
    cases: tuple[AuditCase, ...]

    @property
    def dataset(self) -> Path:
        """Folder of the dataset, where it was at the time of the audit."""
        return Path(self.info["dataset"])

    @property
    def annotators(self) -> tuple[str, ...]:
        """Whose masks were judged."""
        return tuple(self.info["annotators"])

    @property
    def ranked_by(self) -> str:
        """Name of the score that ranks."""
        return str(self.info["ranked_by"])

    @property
    def score_names(self) -> tuple[str, ...]:
        """Names of all scores, the one that ranks first."""
        return tuple(self.info["scores"])

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return int(self.info["classes"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, background first; () where the dataset told none."""
        return tuple(self.info.get("class_names", ()))

    def case(self, id: str, annotator: str | None = None) -> AuditCase:
        """The case of an image; of the annotator, where several were judged.

        Raises:
            KeyError: There is none.
        """
        for case in self.cases:
            if case.id == id and annotator in (None, case.annotator):
                return case
        by = "" if annotator is None else f" by {annotator!r}"
        raise KeyError(f"The audit in {str(self.folder)!r} holds no mask of {id!r}{by}.")

    def prediction(self, id: str, like: Path | None = None) -> NDArray[np.uint8]:
        """What the model gave for an image: `(*spatial, 1)` of the foreground, or `(*spatial, K)`.

        0..255 stands for probabilities 0..1.

        Args:
            id: Name of the image.
            like: Its file, which may have been exported anew since the audit.

        Raises:
            FileNotFoundError: The audit holds no prediction of that image.
            ValueError: It lies elsewhere than `like`, or is damaged.
        """
        channels = 1 if self.classes == 2 else self.classes
        return read_map(self.folder / PREDICTIONS, id, channels, like)

    def labels(self, id: str, like: Path | None = None) -> NDArray[np.uint8]:
        """The predicted labels `(*spatial)` of an image: the suggested correction of its mask.

        Args and errors are those of `prediction`.
        """
        prediction = self.prediction(id, like)
        if prediction.shape[-1] == 1:
            return above_half(prediction[..., 0]).astype(np.uint8)
        return prediction.argmax(axis=-1).astype(np.uint8)

    def error_map(self, id: str, annotator: str | None = None) -> NDArray[np.uint8]:
        """How probable it is that each element of a mask is wrong: `(*spatial)`, 0..255.

        Args:
            id: Name of the image.
            annotator: Whose mask; needed where several were judged.

        Raises:
            KeyError: The audit holds no such mask.
        """
        chosen = self.case(id, annotator)
        return read_map(error_map_folder(self.folder, chosen.annotator), id)[..., 0]

    def __repr__(self) -> str:
        return f"Audit({str(self.folder)!r}, {len(self.cases)} masks, by {self.ranked_by})"


def error_map_folder(folder: str | Path, annotator: str) -> Path:
    """Where the error maps of an annotator's masks are.

    >>> error_map_folder("audit", "expert 1").as_posix()
    'audit/error_maps/expert%201'
    """
    return Path(folder) / ERROR_MAPS / file_name(annotator)


def read_audit(folder: str | Path) -> Audit:
    """Read what `keras-robust audit` left in a folder.

    Args:
        folder: Its output, with audit.json and audit.csv.

    Raises:
        FileNotFoundError: There is no audit, or it is not finished.
        ValueError: Its files are damaged.

    >>> import json, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> info = {"status": "finished", "classes": 2, "annotators": ["anna"], "ranked_by": "default"}
    >>> _ = (folder / "audit.json").write_text(json.dumps(info))
    >>> case = AuditCase(1, "image 1", "anna", 0.9, "too large", {"default": 0.9})
    >>> _ = write_cases(folder, [case], ranked_by="default")
    >>> read_audit(folder).cases[0].kind
    'too large'
    """
    folder = Path(folder)
    try:
        info = read_json(folder / INFO, dict)
        finished = info["status"] == "finished"
        for key, kind in _KINDS.items():
            if not isinstance(info.get(key, kind()), kind):
                raise TypeError(f"{key} is {shown(info[key], 60)}")
        if int(info["classes"]) < 2 or finished and not info["ranked_by"]:
            raise ValueError("it has fewer than two classes, or ranks by nothing")
        table = read_artefact(folder, TABLE, info, _REMEDY) if finished else b""
    except FileNotFoundError:
        raise invalid(
            "folder",
            f"the folder of an audit, with {INFO} and {TABLE}",
            str(folder),
            "Make one with `keras-robust audit DATASET`.",
            kind=FileNotFoundError,
        ) from None
    except DamagedFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as reason:
        raise _damaged(folder / INFO, reason) from reason
    if not finished:
        raise invalid(
            "folder",
            "a finished audit",
            said=f"folder={str(folder)!r}, which is not finished",
            remedy="The same command again continues it.",
            kind=FileNotFoundError,
        )
    try:
        cases = tuple(_case(row, str(info["ranked_by"])) for row in read_table(table)[1])
    except (ValueError, KeyError, TypeError) as reason:
        raise _damaged(folder / TABLE, reason) from reason
    places = _places(folder, info)
    cases = tuple(replace(c, places=places.get((c.id, c.annotator), ())) for c in cases)
    return Audit(folder, info, cases)


def _places(folder: Path, info: Mapping[str, Any]) -> dict[tuple[str, str], tuple[AuditPlace, ...]]:
    """Those of each mask; none in the audits of earlier versions."""
    try:
        return read_places(read_artefact(folder, PLACES, info, _REMEDY))
    except FileNotFoundError:
        return {}
    except DamagedFileError:
        raise
    except (ValueError, KeyError, TypeError) as reason:
        raise _damaged(folder / PLACES, reason) from reason


def write_cases(folder: str | Path, cases: Iterable[AuditCase], ranked_by: str) -> Path:
    """Write audit.csv, one row per mask, most suspicious first."""
    rows = [_row(case, ranked_by) for case in cases]
    columns: dict[str, None] = dict.fromkeys(_COLUMNS)
    for row in rows:
        columns.update(dict.fromkeys(row))
    return write_csv(Path(folder) / TABLE, list(columns), rows)


def _row(case: AuditCase, ranked_by: str) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(case, name) for name in _COLUMNS}
    row["p_wrong"] = _cell(case.p_wrong)
    row |= {name: score for name, score in case.scores.items() if name != ranked_by}
    for figures in case.classes:
        row |= {f"{name}_{figures.label}": _cell(getattr(figures, name)) for name in _FIGURES}
    return row | {"unit": case.unit, "mask_sha256": case.mask_sha256}


def _cell(value: float) -> float | str:
    return "" if value != value else value


def _case(row: Mapping[str, str], ranked_by: str) -> AuditCase:
    labels = sorted(
        int(name.removeprefix("area_")) for name in row if name.startswith("area_")
    )  # fmt: skip
    of_classes = {f"{name}_{label}" for name in _FIGURES for label in labels}
    others = [
        name
        for name in row
        if name not in of_classes and name not in (*_COLUMNS, "unit", "mask_sha256")
    ]
    score = float(row["score"])
    return AuditCase(
        rank=int(row["rank"]),
        id=row["id"],
        annotator=row["annotator"],
        score=score,
        kind=row["kind"],
        scores={ranked_by: score} | {name: float(row[name]) for name in others},
        classes=tuple(
            ClassDifferences(label, **{name: _number(row[f"{name}_{label}"]) for name in _FIGURES})
            for label in labels
        ),
        unit=row["unit"],
        mask_sha256=row["mask_sha256"],
        p_wrong=_number(row.get("p_wrong", "")),
    )


def _number(text: str) -> float:
    return float(text) if text else float("nan")


def _damaged(path: Path, reason: Exception) -> ValueError:
    return invalid(
        "folder",
        f"{path.name} as `keras-robust audit` wrote it",
        said=(f"{str(path)!r}, which is damaged ({type(reason).__name__}: {reason})"),
        remedy="Remove it; the same command writes it again.",
    )
