"""Damage to files: what disks, transfers, editors and enemies do."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

TEXTS = (".json", ".geojson", ".xml", ".yaml", ".csv", ".jsonl", ".txt")
NUMBERS = (0, 1, -1, 2**7, 2**8, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1)
WORDS = (
    "null", "[]", "{}", "true", "-1", "1e999", "NaN", "0", "2147483648", '""', "=1+1", "../../x",
    "/", "\u202e", "a" * 5000, "[" * 30000, '{"a":' * 20000, "&a [*a]", "9" * 5000, "CON", "\x00",
    "é", "e\u0301", ",", ";", "\n", ":", "- ", "'", '"', "1x1", "0x0", "nan", "inf",
    "!!python/object:os.x", "<!DOCTYPE a>", "&b;", "<",
)  # fmt: skip


def damage(folder: Path, chance: random.Random, outside: Path) -> str:
    """Damage one to three files of a folder; what was done, in words."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    said = []
    for path in chance.sample(files, min(len(files), chance.choice((1, 1, 1, 2, 3)))):
        text = path.suffix in TEXTS
        kinds = (_text, _text, _text, _bytes, _kind) if text else (_bytes, _bytes, _bytes, _kind)
        name = chance.choice(kinds)(path, chance, files, outside)
        said.append(f"{path.relative_to(folder)} {name}")
    return ", ".join(said)


def _bytes(path: Path, chance: random.Random, files: list[Path], outside: Path) -> str:
    content = bytearray(path.read_bytes()) if path.is_file() else bytearray()
    size = max(1, len(content))
    kind: Callable[[], str] = chance.choice(
        (
            lambda: _flip(content, chance, size),
            lambda: _flip(content, chance, min(size, 400)),
            lambda: _number(content, chance, min(size, 400)),
            lambda: _cut(content, chance, size),
            lambda: _block(content, chance, size),
            lambda: _longer(content, chance),
        )
    )
    name = kind()
    _replace(path, bytes(content))
    return name


def _flip(content: bytearray, chance: random.Random, within: int) -> str:
    count = chance.choice((1, 1, 2, 4, 16))
    for _ in range(count if content else 0):
        content[chance.randrange(within)] ^= 1 << chance.randrange(8)
    return f"{count} bits flipped"


def _number(content: bytearray, chance: random.Random, within: int) -> str:
    width = chance.choice((1, 2, 4, 8))
    value = chance.choice(NUMBERS) % 2 ** (8 * width)
    place = chance.randrange(max(1, within - width))
    content[place : place + width] = value.to_bytes(width, chance.choice(("little", "big")))
    return f"{value} at {place}"


def _cut(content: bytearray, chance: random.Random, size: int) -> str:
    del content[chance.randrange(size) :]
    return f"cut to {len(content)}"


def _block(content: bytearray, chance: random.Random, size: int) -> str:
    start, length = chance.randrange(size), chance.choice((1, 16, 512))
    fill = chance.choice((b"\0" * length, chance.randbytes(length), b""))
    content[start : start + length] = fill
    return f"a block of {length} replaced by {len(fill)}"


def _longer(content: bytearray, chance: random.Random) -> str:
    content += chance.choice((b"\0" * 10_000, bytes(content), chance.randbytes(100)))
    return "made longer"


def _text(path: Path, chance: random.Random, files: list[Path], outside: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return "left"
    tokens = list(re.finditer(r"[\w./-]+|\S", text))
    word = chance.choice(WORDS)
    if not tokens or chance.random() < 0.1:
        _replace(path, word.encode())
        return f"replaced by {word[:20]!r}"
    token = chance.choice(tokens)
    start, end = token.span()
    kind = chance.choice(("replaced", "replaced", "before", "deleted", "twice"))
    new = {"replaced": word, "before": word + token[0], "deleted": "", "twice": token[0] * 2}[kind]
    _replace(path, (text[:start] + new + text[end:]).encode("utf-8", "surrogatepass"))
    return f"{token[0][:20]!r} {kind} {word[:20]!r}"


def _kind(path: Path, chance: random.Random, files: list[Path], outside: Path) -> str:
    """Another kind of file under the name."""
    kind = chance.choice(
        ("missing", "empty", "folder", "pipe", "device", "circle", "outside", "other", "other")
    )
    path.unlink(missing_ok=True)
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "other":
        there = [file for file in files if file.is_file()]
        if there:
            path.write_bytes(chance.choice(there).read_bytes())
    elif kind != "missing":
        to = {"device": "/dev/zero", "circle": path.name, "outside": str(outside)}[kind]
        path.symlink_to(to)
    return f"is {kind}"


def _replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)
