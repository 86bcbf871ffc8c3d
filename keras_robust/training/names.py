"""Files named for images."""

from pathlib import Path
from urllib.parse import quote


def picture_path(folder: str | Path, id: str, suffix: str = ".png") -> Path:
    """`<id>.png`, or with another suffix, in a folder; the id is percent-encoded where it holds
    what file names do not.

    >>> picture_path("predictions", "case 1").name
    'case%201.png'
    """
    return Path(folder) / f"{quote(id, safe='')}{suffix}"
