"""What README and the pages of the documentation show between code fences."""

import doctest
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(keras-robust [^`]+)`")


@dataclass(frozen=True)
class Block:
    """The text between two fences."""

    language: str
    text: str
    line: int


def pages() -> list[str]:
    """README and all pages but `docs/results`, which quote what was run elsewhere."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = [page.relative_to(ROOT).as_posix() for page in found]
    return [name for name in names if not name.startswith("docs/results/")]


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, *languages: str) -> list[Block]:
    """Those of a page in some languages, all without any."""
    text = read(page)
    return [
        Block(found[2], textwrap.dedent(found[3]), text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
        if not languages or found[2] in languages
    ]


def commands(page: str) -> list[Block]:
    """What a page tells the reader to type into a shell."""
    return blocks(page, "bash", "sh", "shell", "console")


def inline_commands(page: str) -> list[str]:
    """Commands in running text and in tables, on one line."""
    text = _FENCE.sub("", read(page))
    return [" ".join(command.split()) for command in _INLINE.findall(text)]


def yaml_files(page: str) -> dict[str, str]:
    """The files that a page shows: blocks of YAML that begin with their name in a comment."""
    found = {}
    for block in blocks(page, "yaml"):
        first, _, rest = block.text.partition("\n")
        if name := re.fullmatch(r"# (\S+\.ya?ml)", first):
            found[name[1]] = yaml.safe_load(rest)
    return found


def typed(block: Block) -> str:
    """What a reader types of a block of Python: without prompts and what Python answers."""
    if ">>>" not in block.text:
        return block.text
    return "".join(example.source for example in doctest.DocTestParser().get_examples(block.text))
