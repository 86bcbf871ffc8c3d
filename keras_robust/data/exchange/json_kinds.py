"""Which tool wrote a JSON file, told by its keys."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from keras_robust.common.opening import UnreadableFileError, read_json
from keras_robust.data.problems import Problem, error

__all__ = ["MOST_BYTES", "fits_json", "json_files", "json_kind", "read_kind"]

MOST_BYTES = 2**30  # of one file of annotations
LOOKED_AT = 3  # of the files in a folder
FEATURES = ("Feature", "FeatureCollection")


def json_kind(value: Any) -> str:
    """A tool, or "".

    >>> json_kind({"images": [], "annotations": [], "categories": []})
    'coco'
    """
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(value, dict):
        if isinstance(value.get("images"), list) and isinstance(value.get("annotations"), list):
            return "coco"
        if isinstance(value.get("shapes"), list):
            return "labelme"
        if value.get("type") in FEATURES:
            return "geojson"
        lists = (value.get(key) for key in ("training", "validation", "test", "testing"))
        if any(isinstance(listed, list) for listed in lists):
            return "datalist"
        if isinstance(value.get("data"), dict) and isinstance(value.get("annotations"), list):
            return "label_studio"
    elif isinstance(first, dict):
        if first.get("type") in FEATURES:
            return "geojson"
        if isinstance(first.get("data"), dict) or "annotation_id" in first:
            return "label_studio"
    return ""


def json_files(source: Path, deep: bool = True) -> Iterator[Path]:
    """A file itself, or those of a folder and of the folders in it, but for hidden ones."""
    if source.is_file():
        yield source
        return
    inner = sorted(p for p in source.iterdir() if p.name[0] != ".") if source.is_dir() else []
    for path in inner:
        if path.suffix.lower() in (".json", ".geojson") and path.is_file():
            yield path
    for folder in inner if deep else ():
        if folder.is_dir():
            yield from json_files(folder, deep=False)


def read_kind(source: Path, kind: str, problems: list[Problem]) -> Iterator[tuple[Path, Any]]:
    """Each JSON file of a kind with its value; those that cannot be read become problems."""
    for path in json_files(source):
        try:
            value = read_json(path, most=MOST_BYTES)
        except UnreadableFileError as reason:
            problems.append(error("json", reason.reason, path=path.name))
            continue
        if json_kind(value) == kind:
            yield path, value


def fits_json(kind: str) -> Callable[[Path], bool]:
    """Whether one of the first JSON files of a source is of a kind."""

    def fits(source: Path) -> bool:
        if source.is_file() and source.suffix.lower() not in (".json", ".geojson"):
            return False
        return any(_kind_of(path) == kind for path in islice(json_files(source), LOOKED_AT))

    return fits


def _kind_of(path: Path) -> str:
    try:
        state = path.stat()
        return _kind_once(path, state.st_mtime_ns, state.st_size)
    except (OSError, ValueError):
        return ""


@lru_cache(maxsize=64)
def _kind_once(path: Path, modified: int, size: int) -> str:
    """The kind of a file, which is asked for once for each format and may take long."""
    return json_kind(read_json(path, most=MOST_BYTES))
