"""Sample data in File > Open Sample: no network."""

from typing import Any


def lesions() -> list[tuple[Any, dict[str, Any], str]]:
    """Skin lesions with clean, noisy and predicted masks."""
    return []


def volume() -> list[tuple[Any, dict[str, Any], str]]:
    """A 3-D volume with clean and noisy masks."""
    return []


def annotators() -> list[tuple[Any, dict[str, Any], str]]:
    """Ultrasound images with masks of several annotators."""
    return []
