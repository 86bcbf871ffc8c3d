"""Importing: a dataset folder of what another tool wrote."""

import os
from collections.abc import Sequence
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json, atomic_write_text
from keras_robust.common.opening import real_path
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case, ordered
from keras_robust.data.exchange.files import copied, new_folder, suffix_of
from keras_robust.data.exchange.found import Draw, Entry, Found, Made
from keras_robust.data.exchange.registry import Given, format_of
from keras_robust.data.files.images import mask_suffix, write_mask
from keras_robust.data.files.names import name_problem
from keras_robust.data.layouts.manifest import MANIFEST, read_labels
from keras_robust.data.layouts.manifest_writing import manifest_text, reference
from keras_robust.data.problems import Problem, error

__all__ = ["import_dataset", "understand"]

PathLike = str | os.PathLike[str]
SHOWN = 10


def understand(
    source: PathLike,
    *,
    format: str | None = None,
    images: PathLike | None = None,
    masks: str | None = None,
    annotator: str = "annotator",
) -> Found:
    """Look at a data set of another tool, without writing anything.

    Args:
        source: A file or a folder.
        format: One of `FORMATS`; None to find out.
        images: Folder of the images, where it is another than the source tells.
        masks: Of plain folders: that of the masks, or how the names of masks end, as in "_lesion".
        annotator: Who drew the masks, where the source does not tell.

    Raises:
        FileNotFoundError: No such source.
        ValueError: A source of no known format, or with errors, all of them named.
    """
    source = Path(source)
    if not source.exists():
        remedy = "Check its spelling."
        said = f"source={str(source)!r}, which does not exist"
        raise invalid("source", "a file or a folder", said=said, remedy=remedy,
                      kind=FileNotFoundError)  # fmt: skip
    if images is not None and not Path(images).is_dir():
        raise invalid("images", "a folder", said=f"images={str(images)!r}, which is none")
    if message := name_problem("annotator", annotator):
        raise invalid("annotator", "a name that can be that of a file", said=message)
    given = Given(None if images is None else Path(images), masks, annotator)
    if format is None and masks is not None:
        format = "folders"  # which alone has masks by name
    found = format_of(source, format).read(source, given)
    problems = [*found.problems, *_checked(found)]
    errors = [str(problem) for problem in problems if problem.severity == "error"]
    if errors:
        more = f"\n- and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
        listed = "\n".join(f"- {line}" for line in errors[:SHOWN])
        raise invalid(
            "source",
            f"a data set ({found.format}) that can be read",
            said=f"source={str(source)!r} with {len(errors)} error(s):\n{listed}{more}\nRepair "
            "these in the tool that wrote it",
        )
    return found


def import_dataset(
    source: PathLike,
    dataset: PathLike,
    *,
    format: str | None = None,
    images: PathLike | None = None,
    masks: str | None = None,
    annotator: str = "annotator",
    copy: bool = False,
    unmarked: str = "background",
    dry_run: bool = False,
    found: Found | None = None,
    progress: Progress | None = None,
) -> Found:
    """Make a dataset folder of what another tool wrote.

    Images and masks that are read in place stay where they are, and are referred to by relative
    paths; all else is written into the dataset. A pixel belongs to a shape where its centre does;
    of shapes that overlap, the later one wins. Nothing is left of an import that fails.

    Args:
        source, format, images, masks, annotator: See `understand`.
        dataset: Folder to make.
        copy: Copy images and masks into it, so that it can be moved by itself.
        unmarked: What images are on which nothing was drawn: "background", or "unlabelled".
        dry_run: Only look.
        found: What `understand` returned of this source, if it was asked before.
        progress: Called as `progress(done, total)`.

    Returns:
        What was understood; `print(found.text())` shows it.

    Raises:
        FileNotFoundError, ValueError: See `understand`; a drawing that does not fit its image.
        FileExistsError: `dataset` holds something.
    """
    if unmarked not in ("background", "unlabelled"):
        raise invalid("unmarked", '"background" or "unlabelled"', unmarked)
    found = found or understand(
        source, format=format, images=images, masks=masks, annotator=annotator
    )
    final = Path(dataset)
    with new_folder(final, "dataset", make=not dry_run) as folder:
        description = {
            "name": final.resolve().name,
            **found.description,
            "sources": [] if copy else _sources(found, final),
        }
        if dry_run:
            return found
        cases = []
        written: dict[str, tuple[Path, ...]] = {}
        for done, entry in enumerate(found.entries):
            if progress is not None:
                progress(done, len(found.entries))
            if entry.id not in written:
                written[entry.id] = _channels(entry, folder, copy)
            keeps = not (entry.blank and unmarked == "unlabelled")
            mask = _mask(entry, written[entry.id][0], folder, copy, found) if keeps else None
            cases.append(_case(entry, written[entry.id], mask, folder, final))
        atomic_write_json(folder / "dataset.json", description)
        atomic_write_text(folder / MANIFEST, manifest_text(ordered(cases), final))
        if progress is not None:
            progress(len(cases), len(cases))
    return found


def _checked(found: Found) -> list[Problem]:
    """What no dataset may have, whatever it comes from."""
    problems: list[Problem] = []
    if not found.entries and not found.problems:
        problems.append(error("manifest", "holds no images"))
    if "labels" in found.description:
        read_labels(dict(found.description["labels"]), problems)
    said = {problem.id for problem in found.problems if problem.kind == "leak-id"}
    seen: dict[tuple[str, str], Entry] = {}
    first: dict[str, Entry] = {}
    for entry in found.entries:
        for kind, name in (("id", entry.id), ("annotator", entry.annotator)):
            if (name or kind == "id") and (message := name_problem(kind, name)):
                problems.append(error("name", message, id=entry.id))
        if entry.id in said:  # by the format itself
            continue
        if seen.setdefault((entry.id, entry.annotator), entry) is not entry:
            message = f"has two masks by {entry.annotator or 'nobody'!r}; keep one"
            problems.append(error("duplicate-row", message, id=entry.id))
        known = first.setdefault(entry.id, entry)
        if known.split != entry.split:
            message = f"is in the splits {known.split!r} and {entry.split!r}; choose one"
            problems.append(error("leak-id", message, id=entry.id))
    return list(dict.fromkeys(problems))


def _sources(found: Found, final: Path) -> list[str]:
    """The fewest folders that hold all files that are referred to."""
    files = [f for e in found.entries for f in (*e.channels, e.mask) if isinstance(f, Path)]
    parents = {real_path(path.parent) for path in files} | {path.parent for path in files}
    parents |= {f for e in found.entries for f in e.extra.values() if isinstance(f, Path)}
    target, root = real_path(final), real_path(found.root)
    roots = {root} if not target.is_relative_to(root) else set()
    kept = [
        *(folder for folder in roots if any(p.is_relative_to(folder) for p in parents)),
        *sorted(p for p in parents if not any(p.is_relative_to(r) for r in roots)),
    ]
    kept = [a for a in kept if not any(a != b and a.is_relative_to(b) for b in kept)]
    around = [folder for folder in kept if target.is_relative_to(real_path(folder))]
    if around:
        raise invalid(
            "dataset",
            "a folder outside that of the images and masks it refers to",
            said=f"dataset={str(final)!r} inside {str(around[0])!r}",
            remedy="Name a folder beside it, or copy the files (`copy=True`, --copy).",
        )
    return list(dict.fromkeys(reference(folder, final) for folder in map(real_path, kept)))


def _channels(entry: Entry, folder: Path, copy: bool) -> tuple[Path, ...]:
    """The files of an image, made or copied where that is wanted."""
    files = []
    for number, channel in enumerate(entry.channels):
        part = f"_{number:04d}" if len(entry.channels) > 1 else ""
        stem = folder / "images" / f"{entry.id}{part}"
        if isinstance(channel, Made):
            path = Path(f"{stem}{channel.suffix}")
            path.parent.mkdir(parents=True, exist_ok=True)
            channel.write(path)
        elif copy:
            path = copied(channel, Path(f"{stem}{suffix_of(channel)}"))
        else:
            path = channel
        files.append(path)
    return tuple(files)


def _mask(entry: Entry, image: Path, folder: Path, copy: bool, found: Found) -> Path | None:
    if entry.mask is None or (isinstance(entry.mask, Path) and not copy):
        return entry.mask
    stem = folder / "masks" / entry.annotator / entry.id
    if isinstance(entry.mask, Path):
        return copied(entry.mask, Path(f"{stem}{suffix_of(entry.mask)}"))
    draw: Draw = entry.mask
    labels = draw(image)
    classes = len(set((found.description.get("labels") or {0: 0, 1: 1}).values()))
    return write_mask(Path(f"{stem}{mask_suffix(image)}"), labels, image, classes)


def _case(
    entry: Entry, channels: Sequence[Path], mask: Path | None, folder: Path, final: Path
) -> Case:
    """The case as it will stand in the manifest of the folder's final place."""
    moved = [_moved(path, folder, final) for path in channels]
    drawn = None if mask is None else _moved(mask, folder, final)
    return Case(
        entry.id,
        moved[0],
        drawn,
        entry.annotator if drawn else "",
        entry.split,
        entry.group,
        entry.spacing,
        {k: reference(v, final) if isinstance(v, Path) else v for k, v in entry.extra.items()},
        tuple(moved),
    )


def _moved(path: Path, folder: Path, final: Path) -> Path:
    return final / path.relative_to(folder) if path.is_relative_to(folder) else path
