"""Writing tables."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_robust.common.files import atomic_write_text


def write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the given columns; what a row lacks is left empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(path, buffer.getvalue())
