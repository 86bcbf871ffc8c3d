"""Every name that a room of the library offers stands in the reference."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import keras_robust

PAGES = Path(__file__).parents[2] / "docs/reference"
# Floors that other rooms stand on, and the command line, which has a page of another form.
WITHIN = {"common", "cli"}
ROOMS = [
    room.name
    for room in pkgutil.iter_modules(keras_robust.__path__)
    if room.ispkg and room.name not in WITHIN
]


def named(path: str) -> Any:
    """What a dotted path stands for."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise ValueError(f"Nothing is called {path}.")


@pytest.fixture(scope="module")
def documented() -> list[Any]:
    text = "\n".join(page.read_text() for page in PAGES.glob("*.md"))
    found = []
    for path in re.findall(r"^::: (\S+)", text, re.M):
        one = named(path)
        of_module = [getattr(one, name) for name in one.__all__] if is_module(one) else []
        found += [one, *of_module]
    return found


def is_module(one: Any) -> bool:
    return isinstance(one, ModuleType)


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_what_a_room_offers_stands_in_the_reference(room, documented):
    module = import_module(f"keras_robust.{room}".rstrip("."))
    offered = {name: getattr(module, name) for name in module.__all__}
    missing = [
        name
        for name, one in offered.items()
        if not is_module(one) and not any(one is other for other in documented)
    ]
    assert not missing
