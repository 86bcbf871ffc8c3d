"""Libraries that only some formats need."""

from importlib import import_module
from typing import Any

__all__ = ["optional"]


def optional(name: str) -> Any:
    """A module of a library that an extra installs: `dicom`, or `formats`, which holds it.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        library = name.partition(".")[0]
        extra = "dicom" if library in ("pydicom", "highdicom") else "formats"
        raise ImportError(
            f"This format needs {library}. Install it with: pip install 'keras-robust[{extra}]'"
        ) from None
