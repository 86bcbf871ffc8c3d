"""How far an audit is to be trusted: what it finds of the mistakes that it has planted itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_robust.metrics.ranking import auroc

__all__ = ["FIRST", "Found", "Trust", "is_blind", "trust_in"]

Floats = NDArray[np.float64]
# Among the first of the list, as a share of the masks.
FIRST = 0.1
# Mistakes that change about so much of the objects: at least, and less than.
CHANGES = {0.1: (0.05, 0.15), 0.2: (0.15, 0.3), 0.5: (0.3, 0.75)}
# Mistakes as large as this must be told from the given masks, so well at least.
PLAIN, LEAST_AUROC = 0.2, 0.65
# A model that agrees less than this with half of the masks of a class explains it too badly, and
# one that agrees less than that with half of all masks says nothing of any.
POOR_DICE, BLIND_DICE = 0.5, 0.3


@dataclass(frozen=True)
class Found:
    """What was found of the mistakes of one size.

    Attributes:
        change: About how much of the objects they change.
        planted: How many there were.
        first: Share of them that is as suspicious as the first tenth of the masks.
        flagged: Share of them that is more probably wrong than right.
    """

    change: float
    planted: int
    first: float
    flagged: float


@dataclass(frozen=True)
class Trust:
    """How far an audit is to be trusted.

    Attributes:
        wrong_share: Estimated share of the masks that is wrong.
        found: What was found of planted mistakes, by their size; those of which there were any.
        auroc: How well planted mistakes are told from the given masks: NaN where none was planted.
        blind: Whether the model tells right from wrong masks too badly for any to be flagged.
        dice: Median Dice of the predictions with the masks, of each foreground class.
    """

    wrong_share: float
    found: tuple[Found, ...]
    auroc: float
    blind: bool
    dice: Mapping[int, float]

    def unexplained(self) -> list[int]:
        """The classes that the model explains too badly to be judged."""
        return [label for label, value in self.dice.items() if value < POOR_DICE]

    def sentences(self, class_names: Sequence[str] = ()) -> list[str]:
        """What to say of it at the top of a report, most important first.

        >>> trust = Trust(0.1, (Found(0.2, 50, 0.8, 0.7),), 0.95, False, {1: 0.41})
        >>> for line in trust.sentences(["background", "lens"]):
        ...     print(line)
        About 10 % of the masks seem to be wrong.
        Of mistakes that change 20 % of an object, 8 of 10 were found among the first 10 %.
        Class lens cannot be judged: the model explains it too badly (Dice 0.41).
        """
        lines = []
        if self.blind:
            lines.append(
                "The audit is blind: the predictions agree with the masks too little to tell right "
                "ones from wrong. No mask is flagged."
            )
        else:
            lines.append(f"About {self.wrong_share:.0%} of the masks seem to be wrong.")
        for one in self.found:
            lines.append(
                f"Of mistakes that change {one.change:.0%} of an object, {10 * one.first:.0f} of "
                f"10 were found among the first {FIRST:.0%}."
            )
        for label in self.unexplained():
            name = class_names[label] if label < len(class_names) else str(label)
            lines.append(
                f"Class {name} cannot be judged: the model explains it too badly "
                f"(Dice {self.dice[label]:.2f})."
            )
        return [line.replace("%", " %") for line in lines]

    def to_json(self) -> dict[str, Any]:
        """As audit.json holds it."""
        return {
            "wrong_share": round(self.wrong_share, 4),
            "planted_auroc": None if np.isnan(self.auroc) else round(self.auroc, 4),
            "blind": self.blind,
            "found": [vars(one) for one in self.found],
            "dice": {str(label): round(value, 4) for label, value in self.dice.items()},
            "unexplained": self.unexplained(),
        }


def is_blind(given: Floats, planted: Floats, dice: Floats, agreement: Floats) -> bool:
    """Whether model and masks disagree everywhere, or plain mistakes are hardly more suspicious.

    Args:
        given: `(n,)`, how suspicious the given masks are.
        planted: `(m,)`, how suspicious those with planted mistakes are.
        dice: `(m,)`, of these with the masks before.
        agreement: `(n,)`, Dice of the given masks with the predictions.
    """
    if agreement.size and np.median(agreement) < BLIND_DICE:
        return True
    plain = dice <= 1 - PLAIN
    return bool(plain.any()) and _auroc(given, planted[plain]) < LEAST_AUROC


def trust_in(
    given: Floats,
    planted: Floats,
    changed: Floats,
    *,
    offset: float,
    blind: bool,
    wrong_share: float,
    dice: Mapping[int, float],
) -> Trust:
    """What was found of planted mistakes.

    Args:
        given: `(n,)`, how suspicious the given masks are, as log-odds.
        planted: `(m,)`, the same of those with planted mistakes.
        changed: `(m,)`, how much of the objects each of these changes.
        offset: What is to be added to either for the log-odds that a mask is wrong.
        blind: See `is_blind`.
        wrong_share: Estimated share of wrong masks.
        dice: Median Dice by class.
    """
    found = []
    first = np.quantile(given, 1 - FIRST) if given.size else np.inf
    for change, (least, less_than) in CHANGES.items():
        chosen = planted[(changed >= least) & (changed < less_than)]
        if chosen.size:
            flagged = 0.0 if blind else float(np.mean(chosen + offset > 0))
            found.append(Found(change, chosen.size, float(np.mean(chosen >= first)), flagged))
    return Trust(wrong_share, tuple(found), _auroc(given, planted), blind, dict(dice))


def _auroc(given: Floats, planted: Floats) -> float:
    if not (given.size and planted.size):
        return float("nan")
    wrong = np.repeat([False, True], [given.size, planted.size])
    return auroc(np.concatenate([given, planted]), wrong)
