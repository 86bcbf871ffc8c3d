"""Names that come from files and become names of files."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote as percent_encode
from urllib.parse import unquote as percent_decode

from keras_robust.common.tables import FORMULA
from keras_robust.common.words import quote

__all__ = ["name_problem", "file_name", "id_of", "picture_path", "same_names"]

DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


def name_problem(kind: str, name: str) -> str | None:
    """Why `name` cannot name a file of ours on every system, or stand in a spreadsheet, or None.

    Names from files never become paths.

    >>> name_problem("id", "CON.1")
    'id CON.1 is a device of Windows, not a file; rename it'
    >>> name_problem("id", "case 1") is None
    True
    """
    if not name or name in (".", "..") or name != name.strip() or len(name.encode()) > 200:
        reason = "is empty, '.' or '..', longer than 200 bytes, or has spaces around it"
    elif any(c in '/\\:*?"<>|' or ord(c) < 32 or ord(c) == 127 for c in name):
        reason = 'has a character that file names cannot hold (/ \\ : * ? " < > | or control)'
    elif any(unicodedata.category(c) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") for c in name):
        reason = "has a character that is not seen, or turns the text around"
    elif name.endswith("."):
        reason = "ends in a dot, which Windows leaves out"
    elif DEVICES.fullmatch(name):
        reason = "is a device of Windows, not a file"
    elif name.startswith(FORMULA):
        reason = f"begins with {name[0]}, which spreadsheets take for a formula"
    else:
        return None
    return f"{kind} {quote(name)} {reason}; rename it"


def file_name(id: str) -> str:
    """An id as a file is called; percent-encoded where it holds what file names do not.

    >>> file_name("case 1"), id_of(file_name("a/b"))
    ('case%201', 'a/b')
    """
    return percent_encode(id, safe="")


def id_of(name: str) -> str:
    """The id that `file_name` made a name of."""
    return percent_decode(name)


def picture_path(folder: str | Path, id: str, suffix: str = ".png") -> Path:
    """`<id>.png`, or with another suffix, in a folder; the id is percent-encoded where it holds
    what file names do not.

    >>> picture_path("predictions", "case 1").name
    'case%201.png'
    """
    return Path(folder) / f"{file_name(id)}{suffix}"


def same_names(names: Iterable[str]) -> list[tuple[str, str, bool]]:
    """Names that some file systems cannot keep apart: (name, an earlier one, whether Unicode has
    two forms of one text for them, rather than upper and lower case).

    >>> same_names(["A", "b", "a"])
    [('a', 'A', False)]
    """
    found = []
    composed: dict[str, str] = {}
    folded: dict[str, str] = {}
    for name in dict.fromkeys(names):
        form = unicodedata.normalize("NFC", name)
        other = composed.setdefault(form, name)
        alike = folded.setdefault(form.casefold(), name)
        if other != name:
            found.append((name, other, True))
        elif alike != name:
            found.append((name, alike, False))
    return found
