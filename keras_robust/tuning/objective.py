"""What a tuning study maximises: a column of the history of a run, or its moving average."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_robust.common.errors import invalid
from keras_robust.training.memorising.looks import HELD_OUT
from keras_robust.training.run import HISTORY_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PLANNED", "WHOLE_IMAGES", "Objective", "moving_average"]

PLANNED = "pseudo_dice_train_ema"
"""What is tuned for by default with a plan: the EMA of the pseudo-Dice of the training patches."""
WHOLE_IMAGES = "ema:dice_train"
"""What is tuned for by default on whole images: the EMA of the Dice on the training images."""
_AVERAGED = "ema:"


def moving_average(values: Iterable[float], decay: float = 0.9) -> Iterator[float]:
    """Exponential moving average, beginning with the first value (nnRobustLoss, eq. 8).

    Args:
        values: One per epoch.
        decay: λ, the weight of the past.

    >>> [round(value, 3) for value in moving_average([1.0, 0.0, 0.0])]
    [1.0, 0.9, 0.81]
    """
    average = None
    for value in values:
        average = value if average is None else decay * average + (1 - decay) * value
        yield average


@dataclass(frozen=True)
class Objective:
    """A column of `history.csv`, or `"ema:"` and a column for its moving average (λ = 0.9).

    The value of a run is that of its last epoch; epochs without a value are left out of averages.

    >>> import pandas as pd
    >>> history = pd.DataFrame({"epoch": [1, 2, 3], "dice_train": [0.5, None, 0.7]})
    >>> [(epoch, round(value, 3)) for epoch, value in Objective("ema:dice_train").curve(history)]
    [(1, 0.5), (3, 0.52)]
    """

    name: str

    @property
    def column(self) -> str:
        """The column of `history.csv`."""
        return self.name.removeprefix(_AVERAGED)

    def require_known(self) -> None:
        """Make sure, before anything is trained, that a run can have the column.

        Raises:
            ValueError: No run has one of this name.

        >>> Objective("ema:pseudo_dice_train_2").require_known()
        """
        known = (*HISTORY_COLUMNS, HELD_OUT, "pseudo_dice_train", "pseudo_dice_val")
        if re.sub(r"(_ema|_\d+)+$", "", self.column) not in known:
            raise invalid(
                "objective",
                f"a column of history.csv, or ema: and a column, of {', '.join(known)}",
                self.name,
            )

    def check(self, history: "pd.DataFrame") -> None:
        """Make sure that a history has the column.

        Raises:
            ValueError: If it has not.
        """
        if self.column not in history:
            known = [str(column) for column in history.columns]
            raise invalid(
                "objective",
                f"a column of history.csv, or ema: and a column, of {', '.join(known)}",
                self.name,
            )

    def curve(self, history: "pd.DataFrame") -> list[tuple[int, float]]:
        """Epochs that have a value, and the value there."""
        if self.column not in history:
            return []
        rows = history[["epoch", self.column]].dropna()
        values: Iterable[float] = [float(value) for value in rows[self.column]]
        if self.name.startswith(_AVERAGED):
            values = moving_average(values)
        return [(int(epoch), value) for epoch, value in zip(rows["epoch"], values, strict=True)]

    def value(self, history: "pd.DataFrame") -> float:
        """The value of a run; NaN where its last epoch has none."""
        curve = self.curve(history)
        return curve[-1][1] if curve and curve[-1][0] == history["epoch"].max() else math.nan
