"""What of a configuration decides what a run computes, and in what two of them differ."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["PATHS", "differences", "digest", "identity"]

# Where the files lie; whether they are the same is told by their content.
PATHS = {"data": "path", "plan": "folder"}
_INDIFFERENT = ("threads", "tensorboard")


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """A training configuration without what changes nothing that a run computes: the folders of
    its files, threads, and TensorBoard.

    >>> identity({"data": {"path": "a", "fold": [0, 3]}, "loss": "t", "threads": 2})
    {'data': {'fold': [0, 3]}, 'loss': 't'}
    """
    kept = {key: value for key, value in config.items() if key not in _INDIFFERENT}
    for section, path in PATHS.items():
        if isinstance(kept.get(section), Mapping):
            kept[section] = {key: v for key, v in kept[section].items() if key != path}
    return kept


def digest(config: Mapping[str, Any]) -> str:
    """SHA-256 of the `identity` of a configuration, whose values are those of YAML."""
    content = json.dumps(identity(config), sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested mappings that differ, old and new, by dotted names.

    >>> differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    {'a.b': (1, 3)}
    """
    found: dict[str, Any] = {}
    for key in sorted({*old, *new}):
        one, other = old.get(key), new.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found |= differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found[f"{prefix}{key}"] = (one, other)
    return found
