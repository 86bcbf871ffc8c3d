"""The share that one of several machines does of a list of pieces of work."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeVar

from keras_robust.common.errors import invalid

__all__ = ["WHOLE", "Part"]

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Every `count`-th piece, beginning with the `number`-th.

    The parts of a list have no piece in common and are the list together, whichever machine does
    which, and differ in size by one at most.

    Args:
        number: Which part, from 1.
        count: How many there are.

    Raises:
        ValueError: Not 1 <= number <= count.

    >>> [Part(number, 2).of("abcde") for number in (1, 2)]
    [['a', 'c', 'e'], ['b', 'd']]
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise invalid(
                "part",
                "I/N with I from 1 to N, as 1/4 to 4/4 on four machines",
                said=f"part={self}",
            )

    @classmethod
    def parse(cls, text: str | None) -> "Part":
        """From `"2/4"`; the whole from `None`.

        Raises:
            ValueError: Another text.
        """
        if text is None:
            return cls()
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if match is None:
            raise invalid("part", "I/N, as 1/4 to 4/4 on four machines", text)
        return cls(int(match[1]), int(match[2]))

    def of(self, pieces: Sequence[T]) -> list[T]:
        """Those of the pieces that are this part's, in their order."""
        return list(pieces)[self.number - 1 :: self.count]

    def name(self, file: str) -> str:
        """The name of this part's own copy of a file; the file itself is of the whole.

        >>> Part(1, 2).name("masks.jsonl"), Part().name("masks.jsonl")
        ('masks-1-of-2.jsonl', 'masks.jsonl')
        """
        if self == WHOLE:
            return file
        path = PurePath(file)
        return f"{path.stem}-{self.number}-of-{self.count}{path.suffix}"

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Part()
