"""The page that shows how to add things; its examples run with the others of the documentation."""

import re
from importlib import import_module
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "where-do-i-add.md").read_text()


def test_each_kind_has_an_example_of_at_most_thirty_lines():
    sections = re.findall(r"^## (An? .+?)\n(.*?)(?=^## )", PAGE, re.M | re.S)
    assert [title for title, _ in sections] == [
        "A loss",
        "A network",
        "A selection of two peers",
        "A noise",
        "A dataset layout",
        "A suspicion score",
        "A napari tool",
    ]
    for title, text in sections:
        blocks = re.findall(r"^```\w+.*?\n(.*?)^```", text, re.M | re.S)
        assert blocks and all(len(block.strip().splitlines()) <= 30 for block in blocks), title


def test_the_table_names_the_ways_in():
    rows = re.findall(r"`(keras_robust\.\w+)\.(register\w*)` \| `(keras_robust\.\w+)`", PAGE)
    assert len(rows) == 6
    for module, function, _ in rows:
        assert callable(getattr(import_module(module), function))
