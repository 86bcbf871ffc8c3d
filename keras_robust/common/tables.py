"""Tables as CSV: written so that spreadsheets do not compute them, read as files of strangers."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_robust.common.files import atomic_write_text
from keras_robust.common.opening import UnreadableFileError, read_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_text", "from_text", "frame_csv", "read_frame", "read_table", "rows_csv", "write_csv"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def as_text(cell: Any) -> Any:
    """A cell that a spreadsheet shows and does not compute: a formula gets an apostrophe before it.

    Names of classes, annotators and layers come from files. Numbers stay, whatever their sign.

    >>> as_text("=1+1"), as_text("-0.5"), as_text(-0.5), as_text("a-b")
    ("'=1+1", '-0.5', -0.5, 'a-b')
    """
    if not isinstance(cell, str) or not cell.startswith(FORMULA):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def from_text(cell: str) -> str:
    """What `as_text` was given.

    >>> from_text(as_text("=1+1")), from_text("'quoted'")
    ('=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def read_table(content: bytes) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file in UTF-8, cells stripped.

    Raises:
        ValueError: Not UTF-8 text, or a row with more cells than columns.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as reason:
        raise ValueError(
            f"Expected text in UTF-8. Received: other bytes ({reason}). Save it as UTF-8."
        ) from None
    if "\0" in text:
        raise ValueError("Expected text in UTF-8. Received: a binary file. Save the table as CSV.")
    try:
        return _rows(csv.reader(io.StringIO(text, "")))
    except csv.Error as reason:
        raise ValueError(f"Expected comma-separated values. Received: {reason}.") from None


def _rows(lines: Iterator[list[str]]) -> tuple[list[str], list[dict[str, str]]]:
    columns = [cell.strip() for cell in next(lines, [])]
    repeated = sorted(name for name, count in Counter(columns).items() if count > 1)
    if repeated:
        raise ValueError(f"Expected each column once. Received: {', '.join(repeated)} repeated.")
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = [from_text(cell.strip()) for cell in line]
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise ValueError(
                f"Expected {len(columns)} cells in every row. Received: {len(cells)} in row "
                f"{number}. Quote cells that hold commas."
            )
        rows.append(dict(zip(columns, cells, strict=True)))
    return columns, rows


def rows_csv(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    newline: str = "\n",
    header: bool = True,
) -> str:
    """Rows with the given columns as CSV; what a row lacks is left empty.

    >>> rows_csv(["id", "note"], [{"id": "a", "note": "@b"}, {"id": "c"}]).splitlines()
    ['id,note', "a,'@b", 'c,']
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator=newline)
    if header:
        writer.writerow({column: as_text(column) for column in columns})
    writer.writerows({key: as_text(value) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def write_csv(
    path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> Path:
    """Write `rows_csv` atomically."""
    return atomic_write_text(path, rows_csv(columns, rows))


def frame_csv(table: "pd.DataFrame", **options: Any) -> str:
    """A table of pandas as CSV; `options` are those of `to_csv`."""
    safe = table.rename(index=as_text, columns=as_text)
    for number, kind in enumerate(safe.dtypes):
        if kind.kind not in "biufcmM":
            safe.isetitem(number, safe.iloc[:, number].map(as_text, na_action="ignore"))
    return safe.to_csv(lineterminator="\n", **options)


def read_frame(
    path: str | os.PathLike[str], content: bytes | None = None, **options: Any
) -> "pd.DataFrame":
    """A CSV file of at most 64 MiB as a table of pandas; `options` are those of `read_csv`.

    Args:
        path: The file.
        content: Of it, where it was read already.

    Raises:
        FileNotFoundError, OSError: See `keras_robust.common.opening.open_plain`.
        ValueError: No file, too large, or no table of that kind.
    """
    import pandas as pd

    if content is None:
        content = read_bytes(path)
    try:
        return pd.read_csv(io.BytesIO(content), **options)
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UnreadableFileError(path, f"is no table: {error}") from None
