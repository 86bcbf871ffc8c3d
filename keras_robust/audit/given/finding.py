"""Which files of a folder hold the prediction of which image, as models' own programs lay them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.data.files.names import file_name, name_problem

__all__ = ["Stored", "find_stored", "model_folders", "same_words"]

# Of one prediction in several files, probabilities go before labels.
SUFFIXES = (".npz", ".npy", ".png", ".nii.gz", ".nii", ".tif", ".tiff", ".bmp")
VOLUMES = (".nii.gz", ".nii")
FIRST_CHANNEL = "_0000"  # which MONAI keeps of the names of nnU-Net's images
SEGMENTATIONS = "segmentations"  # folder of TotalSegmentator's own data


@dataclass(frozen=True)
class Stored:
    """The files of one prediction.

    Args:
        paths: One, or one for each class.
        classes: Of which class each is a mask; empty where they are probabilities or labels.
    """

    paths: tuple[Path, ...]
    classes: tuple[int, ...] = ()


def model_folders(folder: Path) -> list[tuple[Path, ...]]:
    """The folders to look in for the predictions of each model that a folder holds.

    A folder of trained nnU-Net models holds one model for each configuration. Of each, the images
    that a fold held out lie in `fold_*/validation`, labels of all in `crossval_results_folds_*`.

    Raises:
        ValueError: `fold_all`, which has no held-out images.

    >>> model_folders(Path("predictions"))
    [(PosixPath('predictions'),)]
    """
    if "fold_all" in folder.parts:
        raise _learnt(folder)
    found = _of_folds(folder)
    if found:
        return [found]
    if (folder / "validation").is_dir():
        return [(folder / "validation",)]
    inner = [_of_folds(path) for path in _subfolders(folder, "*")]
    return [folders for folders in inner if folders] or [(folder,)]


def _of_folds(folder: Path) -> tuple[Path, ...]:
    """Of one model of nnU-Net; none where the folder is no such."""
    folds = _subfolders(folder, "fold_*")
    numbered = [path for path in folds if path.name.removeprefix("fold_").isdecimal()]
    held_out = [path / "validation" for path in numbered if (path / "validation").is_dir()]
    merged = _subfolders(folder, "crossval_results_folds_*")
    if folds and not (held_out or merged):
        raise _learnt(folder / folds[0].name)
    return (*held_out, *merged)


def _learnt(folder: Path) -> ValueError:
    return invalid(
        "predictions",
        "predictions by models that have not seen the images, such as nnU-Net's fold_0 to fold_4",
        said=f"{str(folder)!r}, which has none of images that its model was not trained on",
        remedy="Train the folds, with --npz (or --val --npz afterwards).",
    )


def _subfolders(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_dir())


def find_stored(
    folders: Sequence[Path], ids: Iterable[str], classes: int, class_names: Sequence[str] = ()
) -> dict[str, Stored]:
    """The files of every id in the folders of one model; the first folder that has any wins.

    They may be called after the id alone; after id and class number; after the id with a word, as
    MONAI's `ID_seg`; or lie in a folder of the id, there also named by class, as those of
    TotalSegmentator.

    Args:
        folders: See `model_folders`.
        ids: Of the images.
        classes: Their number, background included.
        class_names: Of the classes, background first.

    Raises:
        FileNotFoundError: An id has no file.
        ValueError: An id has several that it cannot be told from.
    """
    wanted = list(dict.fromkeys(ids))
    found: dict[str, Stored] = {}
    short: dict[str, str] = {}  # what keeps a folder of class files from being a prediction
    for folder in folders:
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        # `a_0.png` of an id `a_0` is no class of `a`, and `a_seg.png` of an id `a_seg` not of `a`.
        taken = {f"{name}{end}" for id in wanted for name in _names(id) for end in SUFFIXES}
        loose = _loosely_named(names - taken)
        for id in wanted:
            if id in found:
                continue
            stored = _exact(folder, names, taken, id, classes)
            stored = stored or _only(folder, loose, _names(id), id)
            stored = stored or _in_own_folder(folder, names, id, classes, class_names, short)
            if stored is not None:
                found[id] = stored
    missing = [id for id in wanted if id not in found]
    if missing:
        raise _absent(folders, missing, len(wanted), classes, short.get(missing[0]))
    return found


def _absent(
    folders: Sequence[Path], missing: list[str], wanted: int, classes: int, reason: str | None
) -> FileNotFoundError:
    of_classes = f", or ID_0 to ID_{classes - 1} for the classes" if classes > 2 else ""
    shown = ", ".join(repr(str(folder)) for folder in folders)
    return invalid(
        "predictions",
        f"a folder with a file ID.npz, ID.npy, ID.png or ID.nii.gz for each of the {wanted} "
        f"images{of_classes}",
        said=f"predictions={shown} without {len(missing)} of them, such as {missing[0]!r}"
        + (f" ({reason})" if reason else ""),
        remedy="Predict all images, or choose a split (--split).",
        kind=FileNotFoundError,
    )


def _names(id: str) -> dict[str, None]:
    """What files of an id may be called; never a path out of the folder."""
    names = dict.fromkeys((id, file_name(id)))
    return {name: None for name in names if not name_problem("id", name)}


def _exact(folder: Path, names: set[str], taken: set[str], id: str, classes: int) -> Stored | None:
    for name in _names(id):
        for suffix in SUFFIXES:
            if f"{name}{suffix}" in names:
                return Stored((folder / f"{name}{suffix}",))
            of_classes = [f"{name}_{label}{suffix}" for label in range(classes)]
            if names.issuperset(of_classes) and taken.isdisjoint(of_classes):
                return Stored(tuple(folder / file for file in of_classes))
    return None


def _loosely_named(names: Iterable[str]) -> dict[str, list[str]]:
    """Files by what they are called without a word at the end, `ID_seg` and `ID_0000_seg`."""
    loose: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        stem = _stem(name)
        if stem is None:
            continue
        bare = re.sub(r"_[A-Za-z]+$", "", stem)
        for key in {bare, bare.removesuffix(FIRST_CHANNEL)} - {stem}:
            loose[key].append(name)
    return loose


def _only(folder: Path, loose: dict[str, list[str]], keys: Iterable[str], id: str) -> Stored | None:
    files = list(dict.fromkeys(file for key in keys for file in loose.get(key, ())))
    if len(files) > 1:
        raise invalid(
            "predictions",
            "one prediction for each image",
            said=f"{', '.join(map(repr, files[:3]))} for {id!r} in {str(folder)!r}",
            remedy="Name a folder with one of them, or each as a model of its own (--predictions).",
        )
    return Stored((folder / files[0],)) if files else None


def _in_own_folder(
    folder: Path,
    names: set[str],
    id: str,
    classes: int,
    class_names: Sequence[str],
    short: dict[str, str],
) -> Stored | None:
    """A prediction in a folder of its own, as MONAI and TotalSegmentator write them."""
    for name in (f"{name}{end}" for name in _names(id) for end in ("", FIRST_CHANNEL)):
        own = folder / name
        if name not in names or not own.is_dir():
            continue
        for place in (own, own / SEGMENTATIONS):
            inside = {path.name for path in place.iterdir()} if place.is_dir() else set()
            stored = _exact(place, inside, set(), id, classes)
            stored = stored or _only(place, _loosely_named(inside), _names(id), id)
            if stored is not None:
                return stored
            by_words = {same_words(_stem(file) or ""): file for file in sorted(inside)}
            numbers = range(1, classes)
            words = [same_words(class_names[k]) if k < len(class_names) else () for k in numbers]
            if inside and all(key and key in by_words for key in words):
                return Stored(tuple(place / by_words[key] for key in words), tuple(numbers))
            lacking = [
                class_names[k] if k < len(class_names) and class_names[k] else f"class {k}"
                for k, key in zip(numbers, words, strict=True)
                if not key or key not in by_words
            ]
            if any(_stem(file) for file in inside):
                short[id] = f"{str(place)!r} has no file named after {', '.join(lacking[:5])}"
    return None


def _stem(file: str) -> str | None:
    """A name without its suffix; None where it is none of a prediction."""
    suffix = next((end for end in SUFFIXES if file.lower().endswith(end)), None)
    return None if suffix is None else file[: -len(suffix)]


def same_words(name: str) -> tuple[str, ...]:
    """What names of one thing have in common.

    >>> same_words("Left kidney") == same_words("kidney_left")
    True
    """
    return tuple(sorted(re.findall(r"[^\W_]+", name.lower())))
