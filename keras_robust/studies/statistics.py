"""Is the best loss better than the others, or only luckier: ANOVA and Tukey HSD over seeds."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keras_robust.common.errors import invalid

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANCE = 0.05
MIN_SEEDS = 3


@dataclass(frozen=True)
class SettingTest:
    """What the tests say about one noise setting.

    Attributes:
        best: Loss with the highest mean; None without any value.
        star: The best loss if it is significantly better than every other one, else None.
        f, p: One-way ANOVA over the losses; None where it could not be computed.
        anova, tukey: pingouin's tables (columns as there, e.g. `p_unc`, `p_tukey`), or None.
        notes: What was left out and why there is no test or no star, in words.
    """

    best: str | None = None
    star: str | None = None
    f: float | None = None
    p: float | None = None
    anova: "pd.DataFrame | None" = field(default=None, repr=False)
    tukey: "pd.DataFrame | None" = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


def compare(
    values: Mapping[str, Sequence[float]],
    significance: float = SIGNIFICANCE,
    unit: str = "seed",
) -> SettingTest:
    """Test whether losses differ, from one value per seed and loss.

    One-way ANOVA asks whether the means differ at all, Tukey's HSD which pairs do (Tukey-Kramer
    where losses have different numbers of seeds), as in Gonzalez-Jimenez et al. 2023, section
    3.2. The star rule: the loss with the highest mean gets a star if the ANOVA and all of its
    pairwise comparisons have p < `significance`. With fewer than three seeds for any loss no star
    is given, whatever the p-values.

    Args:
        values: Per loss, one value per seed. Values that are not finite are left out and noted.
        significance: Level of both tests.
        unit: What there is one value of, for the notes: "seed" or "fold".

    Raises:
        ValueError: If `significance` is not within (0, 1).

    >>> test = compare({"a": [0.90, 0.91, 0.92], "b": [0.80, 0.81, 0.82], "c": [0.7, 0.71, 0.72]})
    >>> test.star, round(test.f, 6)
    ('a', 300.0)
    """
    if not 0 < significance < 1:
        raise invalid("significance", "0 < significance < 1", said=f"significance={significance}")
    notes: list[str] = []
    groups: dict[str, list[float]] = {}
    for loss, raw in values.items():
        kept = [float(value) for value in raw if math.isfinite(value)]
        if len(kept) < len(raw):
            notes.append(f"{loss}: {len(raw) - len(kept)} value(s) that are not finite left out.")
        if kept:
            groups[loss] = kept
    if not groups:
        return SettingTest(notes=(*notes, "There are no values."))
    best = max(groups, key=lambda loss: sum(groups[loss]) / len(groups[loss]))
    if len(groups) < 2:
        return SettingTest(best, notes=(*notes, f"Nothing to compare {best} with."))

    few = {loss: len(group) for loss, group in groups.items() if len(group) < MIN_SEEDS}
    if few:
        listed = ", ".join(f"{loss} ({n})" for loss, n in few.items())
        notes.append(
            f"Fewer than {MIN_SEEDS} {unit}s: {listed}. A significance test on so few values "
            "cannot be trusted, so no star is given."
        )
    if any(len(group) < 2 for group in groups.values()):
        return SettingTest(best, notes=(*notes, "No test: some losses have a single value."))
    scale = max(abs(value) for group in groups.values() for value in group)
    if all(max(group) - min(group) <= 1e-12 * scale for group in groups.values()):
        note = f"No test: the values of every loss are the same for all {unit}s."
        return SettingTest(best, notes=(*notes, note))

    import pandas as pd
    import pingouin

    table = pd.DataFrame(
        [(loss, value) for loss, group in groups.items() for value in group],
        columns=["loss", "value"],
    )
    with warnings.catch_warnings():
        # pingouin calls pandas in ways that pandas 3.1 deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        anova = _underscored(pingouin.anova(table, dv="value", between="loss"))
        tukey = _underscored(pingouin.pairwise_tukey(table, dv="value", between="loss"))
    f, p = float(anova["F"].iloc[0]), float(anova["p_unc"].iloc[0])
    involved = tukey[(tukey["A"] == best) | (tukey["B"] == best)]
    clear = p < significance and bool((involved["p_tukey"] < significance).all())
    return SettingTest(
        best, best if clear and not few else None, f, p, anova, tukey, notes=tuple(notes)
    )


def _underscored(table: "pd.DataFrame") -> "pd.DataFrame":
    # pingouin named its columns p-unc and p-tukey before 0.6.
    return table.rename(columns=lambda name: str(name).replace("-", "_"))
