"""What is wrong with a dataset: a problem, and the report of all of them."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from keras_robust.common.opening import shortened
from keras_robust.common.words import quote

__all__ = ["Problem", "Report", "error"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Args:
        severity: "error" where training would fail or its result be wrong; else "warning".
        id: Case concerned, "" for the dataset.
        path: File concerned, "" for none.
        kind: Short name of the kind of problem, for programs.
        message: What is wrong and what to do, for people.
    """

    severity: Literal["error", "warning"]
    id: str
    path: str
    kind: str
    message: str

    def __post_init__(self) -> None:
        # Messages repeat what files say, at whatever length.
        object.__setattr__(self, "message", shortened(self.message))

    def __str__(self) -> str:
        where = " ".join(filter(None, (self.id and quote(self.id), self.path and quote(self.path))))
        return f"{self.kind}: {where + ': ' if where else ''}{self.message}"


@dataclass(frozen=True)
class Report:
    """All problems of a dataset.

    Args:
        root: Folder of the dataset.
        cases: Number of cases looked at.
        problems: The problems, errors first.

    >>> report = Report("lungs", 2, (Problem("warning", "a", "a.png", "empty-mask", "is empty"),))
    >>> report.ok
    True
    >>> print(report.text())
    WARNING empty-mask: a a.png: is empty
    2 cases of lungs: 0 errors, 1 warning (empty-mask: 1)
    """

    root: str
    cases: int
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that are errors."""
        return tuple(p for p in self.problems if p.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that are warnings."""
        return tuple(p for p in self.problems if p.severity == "warning")

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not self.errors

    def text(self) -> str:
        """One line per problem, then one that counts them."""
        lines = [f"{p.severity.upper()} {p}" for p in self.problems]
        kinds = Counter(p.kind for p in self.problems)
        counts = ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))
        lines.append(
            f"{_count(self.cases, 'case')} of {self.root}: {_count(len(self.errors), 'error')}, "
            f"{_count(len(self.warnings), 'warning')}" + (f" ({counts})" if counts else "")
        )
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """The report as JSON has it: root, cases, errors, warnings (counts), problems (list).

        >>> Report("lungs", 2, ()).facts()["errors"]
        0
        """
        return {
            "root": self.root,
            "cases": self.cases,
            "errors": len(self.errors),
            "warnings": len(self.warnings),
            "problems": [asdict(p) for p in self.problems],
        }


def error(kind: str, message: str, id: str = "", path: Path | str = "") -> Problem:
    """A problem that is an error."""
    return Problem("error", id, str(path), kind, message)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
