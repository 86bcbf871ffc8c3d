"""YAML: configurations and the records of studies."""

from pathlib import Path
from typing import Any

import yaml

from keras_robust.common.opening import MIB, read_text, shortened

__all__ = ["parse_yaml", "read_yaml"]

MOST_BYTES = MIB
MOST_VALUES = 100_000  # aliases written out


def parse_yaml(text: str, name: str) -> Any:
    """The value that a text in YAML holds.

    Raises:
        ValueError: The text is no YAML; the message gives `name`, line and column. Its aliases
            stand for themselves, or for more than 100,000 values.

    >>> parse_yaml("a: &x [1, 2]\\nb: *x", "the option")
    {'a': [1, 2], 'b': [1, 2]}
    """
    try:
        value = yaml.safe_load(text)
        _count(value, {})
    except RecursionError:
        reason = "it is nested too deeply"
    except (yaml.YAMLError, ValueError) as error:
        reason = shortened(str(error))
    else:
        return value
    raise ValueError(f"Expected YAML in {name}. Received what cannot be read: {reason}")


def read_yaml(path: str | Path, expected: str) -> dict[str, Any]:
    """The mapping that a YAML file of at most 1 MiB holds.

    Args:
        path: The file.
        expected: What it should hold, for the messages.

    Raises:
        FileNotFoundError, IsADirectoryError: There is no such file, or it is a folder.
        ValueError: It is no YAML, or holds no mapping.
    """
    path = Path(path)
    wanted = f"Invalid value for argument `path`. Expected a YAML file with {expected}. Received: "
    if path.is_dir():
        inside = sorted(file.name for file in path.iterdir() if file.suffix in (".yaml", ".yml"))
        held = f"Name a file in it: {', '.join(inside[:8])}." if inside else "It holds none."
        raise IsADirectoryError(f"{wanted}path={str(path)!r}, which is a folder. {held}")
    if not path.exists():
        raise FileNotFoundError(
            f"{wanted}path={str(path)!r}, and {str(path.absolute())!r} does not exist. Correct the "
            "path, or write the file: the documentation has examples of each."
        )
    content = parse_yaml(read_text(path, MOST_BYTES), f"the file {str(path)!r}")
    if not isinstance(content, dict):
        raise ValueError(f"{wanted}path={str(path)!r}, which holds {type(content).__name__}.")
    return content


def _count(value: Any, known: dict[int, int]) -> int:
    """Number of values, counted as often as aliases repeat them."""
    if not isinstance(value, (dict, list, set, tuple)):
        return 1
    if id(value) not in known:
        known[id(value)] = 0  # until it is counted
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count(part, known) for part in parts)
        if known[id(value)] > MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
    elif not known[id(value)]:
        raise ValueError("an alias stands for itself")
    return known[id(value)]
