"""What was understood of a data set of another tool, before anything is written."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from keras_robust.common.opening import shortened
from keras_robust.common.words import quote
from keras_robust.data.problems import Problem, error

__all__ = ["Draw", "Entry", "Found", "Made", "labels_of", "unique_ids"]

Draw = Callable[[Path], NDArray]
"""Makes the labels of an image, whose file it gets: (H, W), or the shape of the volume."""

MOST_NAMED = 12


@dataclass(frozen=True)
class Made:
    """A file that is written on import, since the one that it comes from is not read in place.

    Args:
        source: The file that it comes from.
        suffix: Of its name.
        write: Writes it to a path.
    """

    source: Path
    suffix: str
    write: Callable[[Path], object] = field(repr=False)


@dataclass(frozen=True)
class Entry:
    """One image with what one annotator drew on it.

    Args:
        id: Name of the image.
        channels: Its files, as they are or to be made.
        mask: File of the mask, or what draws it; None for an image without one.
        annotator: Who drew it.
        split, group, spacing: See `keras_robust.data.Case`.
        extra: Further columns; paths are referred to, as those of images.
        blank: Whether nothing was drawn on it: all background, or not looked at yet.
    """

    id: str
    channels: tuple[Path | Made, ...]
    mask: Path | Draw | None = None
    annotator: str = ""
    split: str = ""
    group: str | None = None
    spacing: tuple[float, ...] | None = None
    extra: Mapping[str, str | Path] = field(default_factory=dict)
    blank: bool = False


@dataclass(frozen=True)
class Found:
    """What a source holds.

    Args:
        root: Its folder.
        format: What it is, for people.
        entries: Images with masks.
        description: What dataset.json will say: `labels` and the like.
        notes: What was decided, or left out, in sentences.
        problems: What is wrong; with an error among them nothing is written.
    """

    root: Path
    format: str
    entries: tuple[Entry, ...]
    description: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are errors."""
        return tuple(p for p in self.problems if p.severity == "error")

    def text(self) -> str:
        """What was understood, for people: a line for each kind of thing."""
        images = {entry.id: entry for entry in self.entries}
        made = sum(isinstance(c, Made) for e in images.values() for c in e.channels)
        lines = [f"Format: {self.format}"]
        lines.append(f"Images: {len(images)}" + (f", {made} file(s) to convert" if made else ""))
        drawn = Counter(e.annotator for e in self.entries if e.mask is not None)
        masks = ", ".join(f"{name} {count}" for name, count in sorted(drawn.items()))
        lines.append(f"Masks: {masks or 'none'}")
        splits = Counter(entry.split for entry in images.values())
        if set(splits) != {""}:
            listed = (f"{name or 'none'} {count}" for name, count in sorted(splits.items()))
            lines.append(f"Splits: {', '.join(listed)}")
        labels = self.description.get("labels") or {}
        if labels:
            named = [f"{value} {name}" for name, value in labels.items()]
            more = f", and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
            lines.append(f"Classes: {', '.join(named[:MOST_NAMED])}{more}")
        lines += [f"Note: {note}" for note in self.notes]
        lines += [f"{p.severity.upper()} {p}" for p in self.problems if p.severity != "error"]
        return "\n".join(shortened(line) for line in lines)


def labels_of(
    names: Iterable[str], border: int | None = None
) -> tuple[dict[str, int], dict[str, int]]:
    """Numbers for the classes that a tool names.

    One called background is background, one called ignore stands for "unknown", in the spellings
    that tools have for them; the others are numbered from 1 in the order given.

    Args:
        names: Of the classes.
        border: A number that the masks already have for "unknown".

    Returns:
        `labels` of dataset.json, and the label of each name.

    >>> labels_of(["_background_", "cell", "Ignore*"])
    ({'background': 0, 'cell': 1, 'ignore': 255}, {'_background_': 0, 'cell': 1, 'Ignore*': 255})
    """
    labels, numbers = {"background": 0}, {}
    unknown = border
    for name in dict.fromkeys(names):
        plain = name.strip("_* ").lower()
        if plain == "background":
            numbers[name] = 0
        elif plain == "ignore":
            numbers[name] = unknown = 255 if unknown is None else unknown
        else:
            numbers[name] = number = max(labels.values()) + 1
            labels[name or f"class {number}"] = number
    if len(labels) == 1:
        labels["object"] = 1
    return (labels if unknown is None else {**labels, "ignore": unknown}), numbers


def unique_ids(paths: Sequence[Path], root: Path, problems: list[Problem]) -> dict[Path, str]:
    """An id for each file: its name, or, where names repeat, with the folders before it."""
    stems = {path: _stem(path) for path in paths}
    counts = Counter(stems.values())
    ids: dict[Path, str] = {}
    for path, stem in stems.items():
        if counts[stem] > 1:
            inner = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
            stem = "_".join([*inner, stem])
        ids[path] = stem
    taken: dict[str, Path] = {}
    for path, id in ids.items():
        if taken.setdefault(id, path) != path:
            message = (
                f"one name, two images: {quote(str(taken[id]))} and {quote(str(path))}; rename one"
            )
            problems.append(error("duplicate-row", message, id=id))
    return ids


def _stem(path: Path) -> str:
    """A name without its ending, which may have two parts."""
    name = path.name
    for ending in (".nii.gz", ".seg.nrrd"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem
