"""Reading YAML."""

from pathlib import Path
from typing import Any

import yaml


def parse_yaml(text: str, name: str) -> Any:
    """The value that a text in YAML holds.

    Raises:
        ValueError: The text is no YAML; the message gives `name`, line and column.

    >>> parse_yaml("[1, 2]", "the option")
    [1, 2]
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(
            f"Expected YAML in {name}. Received what cannot be read: {error}"
        ) from error


def read_yaml(path: str | Path, expected: str) -> dict[str, Any]:
    """The mapping that a YAML file holds.

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
        held = f"Name a file in it: {', '.join(inside)}." if inside else "It holds none."
        raise IsADirectoryError(f"{wanted}path={str(path)!r}, which is a folder. {held}")
    if not path.exists():
        raise FileNotFoundError(
            f"{wanted}path={str(path)!r}, and {str(path.absolute())!r} does not exist. Correct the "
            "path, or write the file: the documentation has examples of each."
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{wanted}path={str(path)!r}, which is no text in UTF-8.") from error
    content = parse_yaml(text, f"the file {str(path)!r}")
    if not isinstance(content, dict):
        raise ValueError(f"{wanted}path={str(path)!r}, which holds {type(content).__name__}.")
    return content
