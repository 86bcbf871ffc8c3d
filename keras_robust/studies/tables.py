"""The tables of a study: one row per run, then the paper's table of losses and settings."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from keras_robust.reports.names import in_order, loss_label
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.statistics import SettingTest, compare

if TYPE_CHECKING:
    import pandas as pd

Setting = tuple[float, float]


def label_of(run: RunRecord) -> str:
    """What tables call the loss of a run: the study's label, else made from the configuration."""
    if run.entry.get("label"):
        return str(run.entry["label"])
    config = run.config
    return loss_label(
        str(config.get("loss", "?")), config.get("loss_options"), config.get("selection")
    )


def is_start_run(run: RunRecord) -> bool:
    """Whether a run shows what another initial ν̃ does; such runs are not in the main table.

    The study says so; studies of before it did gave these runs the label of T-Loss itself.
    """
    if "start" in run.entry:
        return bool(run.entry["start"])
    options = run.config.get("loss_options") or {}
    return run.entry.get("label") == "T-Loss" and list(options) == ["nu_tilde"]


def run_table(runs: Iterable[RunRecord]) -> "pd.DataFrame":
    """One row per run, whatever its status; `dice` is the mean over the last 10 epochs.

    Columns: run, status, label, alpha, beta, seed, nu_tilde_start, epochs, epochs_done, dice,
    dice_pooled, dice_train (of the last epochs, against clean masks), nu_tilde (last), error.
    """
    import pandas as pd

    rows = []
    for run in runs:
        alpha, beta = run.setting
        history = run.history
        nu_tilde = history["nu_tilde"].dropna() if "nu_tilde" in history else pd.Series(dtype=float)
        rows.append(
            {
                "run": run.name,
                "status": run.status,
                "label": label_of(run),
                "alpha": alpha,
                "beta": beta,
                "seed": run.seed,
                "nu_tilde_start": (run.config.get("loss_options") or {}).get("nu_tilde"),
                "epochs": run.epochs,
                "epochs_done": len(history),
                "dice": run.mean_of_last("dice_test"),
                "dice_pooled": run.mean_of_last("dice_test_pooled"),
                "dice_train": run.mean_of_last("dice_train"),
                "nu_tilde": float(nu_tilde.iloc[-1]) if len(nu_tilde) else math.nan,
                "error": str(run.damage or run.info.get("error") or ""),
            }
        )
    return pd.DataFrame(rows)


def values_per_setting(runs: Iterable[RunRecord]) -> dict[Setting, dict[str, list[float]]]:
    """Test Dice of the finished runs: setting -> label of the loss -> one value per seed."""
    values: dict[Setting, dict[str, list[float]]] = {}
    for run in runs:
        if run.status == "finished" and not is_start_run(run):
            values.setdefault(run.setting, {}).setdefault(label_of(run), []).append(
                run.mean_of_last("dice_test")
            )
    return {
        setting: {label: values[setting][label] for label in in_order(values[setting])}
        for setting in sorted(values)
    }


def setting_tests(values: dict[Setting, dict[str, list[float]]]) -> dict[Setting, SettingTest]:
    """ANOVA and Tukey HSD for each setting."""
    return {setting: compare(losses) for setting, losses in values.items()}


def notation(values: Iterable[float], star: bool = False) -> str:
    """Mean and sample standard deviation over seeds as the paper prints them.

    >>> notation([0.755, 0.761, 0.767], star=True)
    '0.761(6)*'
    >>> notation([0.7, 0.714]), notation([0.7]), notation([])
    ('0.707(10)', '0.700', '–')
    """
    kept = [value for value in values if math.isfinite(value)]
    if not kept:
        return "–"
    mean = sum(kept) / len(kept)
    spread = ""
    if len(kept) > 1:
        variance = sum((value - mean) ** 2 for value in kept) / (len(kept) - 1)
        spread = f"({round(math.sqrt(variance) * 1000)})"
    return f"{mean:.3f}{spread}{'*' if star else ''}"


def setting_label(setting: Setting) -> str:
    """A noise setting in words.

    >>> setting_label((0.7, 0.5)), setting_label((0.0, 0.0))
    ('α = 0.7, β = 0.5', 'α = 0')
    """
    alpha, beta = setting
    return f"α = {alpha:g}, β = {beta:g}" if alpha else "α = 0"


def paper_table(
    values: dict[Setting, dict[str, list[float]]], tests: dict[Setting, SettingTest]
) -> "pd.DataFrame":
    """Losses x settings in the notation of the paper, `0.761(6)*`."""
    import pandas as pd

    labels = in_order(label for losses in values.values() for label in losses)
    columns = {
        setting_label(setting): [
            notation(losses.get(label, []), star=tests[setting].star == label) for label in labels
        ]
        for setting, losses in values.items()
    }
    return pd.DataFrame(columns, index=pd.Index(labels, name="Loss"))


def markdown(table: "pd.DataFrame") -> str:
    """A table in Markdown.

    >>> import pandas as pd
    >>> print(markdown(pd.DataFrame({"a": ["1"]}, index=pd.Index(["x"], name="Loss"))))
    | Loss | a |
    |---|---|
    | x | 1 |
    """
    head = [str(table.index.name or ""), *map(str, table.columns)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in table.iterrows():
        lines.append("| " + " | ".join([str(name), *map(str, row)]) + " |")
    return "\n".join(lines)
