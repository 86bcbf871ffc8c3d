"""Tables and figures of `reproduce_regimes.py`: where curves part, and what would stop them.

    python scripts/report_regimes.py [--folder docs/results/regimes]

Reads `curves/` and `counts/`; writes runs.csv, stops.csv, weights.csv, paired.csv, anova.csv,
one figure per data set, and the tables into index.md, between `<!-- NAME -->` and `<!-- end -->`.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from regime_rules import GUARD, LAST, RULES, Run, by_held_out
from reproduce_regimes import CORRECTING, DATA, METHODS, NOISES, PASSES
from scipy.stats import wilcoxon

from keras_robust.common.files import atomic_write_text
from keras_robust.common.tables import frame_csv
from keras_robust.studies.statistics import SIGNIFICANCE, compare
from keras_robust.training.memorising.looks import peak

matplotlib.use("agg")
import matplotlib.pyplot as plt

LABELS = {
    "ce+dice": "CE+Dice",
    "t+dice": "T-Loss+Dice",
    "t": "T-Loss",
    "gce": "GCE",
    "stocot": "StoCoT",
    "t+dice-stocot": "T-Loss+Dice StoCoT",
    "t-one": "T-Loss, λ = 1",
    "t-learned": "T-Loss, λ learned",
    "ce+dice-corrected": "CE+Dice, corrected",
    "t+dice-corrected": "T-Loss+Dice, corrected",
    "t+dice-stocot-corrected": "T-Loss+Dice StoCoT, corrected",
}
TOLD = {
    "0.7": "α = β = 0.7",
    "0.5": "α = β = 0.5",
    "mistakes": "mistakes, 30 %",
    "clean": "clean",
}
PIXELS = 64 * 64
WORTH = 0.01
"""Least gain of which a share is told."""


def table_of_runs(runs: list[Run]) -> pd.DataFrame:
    """One row a run: where it is best, where it begins to memorise, what the end gives."""
    rows = []
    for run in runs:
        stop = by_held_out(run)
        rows.append(
            {
                **vars(run.setting),
                "best": run.test.max(),
                "best_pass": PASSES[int(run.test.argmax())],
                "memorises_from": peak(PASSES, run.train_clean),
                "guard": run.averaged_images[stop].mean(),
                "guard_pass": PASSES[stop],
                "end": run.end,
                "train_noisy_end": run.train_noisy[-LAST:].mean(),
                "train_clean_end": run.train_clean[-LAST:].mean(),
            }
        )
    return pd.DataFrame(rows)


def table_of_stops(runs: list[Run]) -> pd.DataFrame:
    """One row a rule and group of runs: what was to gain over the end, and what it gained."""
    rows = []
    for rule, choose in RULES.items():
        for run in runs:
            if run.setting.method in CORRECTING:
                continue  # the guard has had its part in these
            images = run.averaged_images if rule == GUARD else run.test_images
            rows.append(
                {
                    "rule": rule,
                    "rows": group_of(run),
                    "to_gain": run.test.max() - run.end,
                    "gained": images[choose(run)].mean() - run.end,
                }
            )
    grouped = pd.DataFrame(rows).groupby(["rule", "rows"], sort=False)
    table = grouped.agg(
        runs=("gained", "size"),
        to_gain=("to_gain", "mean"),
        gained=("gained", "mean"),
        worst=("gained", "min"),
    ).reset_index()
    share = table["gained"] / table["to_gain"]
    return table.assign(share=share.where(table["to_gain"] >= WORTH))


def group_of(run: Run) -> str:
    if run.setting.noise == "clean":
        return "clean"
    if run.is_development:
        peers = run.setting.method.endswith("stocot")
        return "development, two networks" if peers else "development, one network"
    return "others, noisy"


def table_of_weights(runs: list[Run]) -> pd.DataFrame:
    """How far the weight of an image, (ν + D) / (ν + e^λ S), is from D / (e^λ S)."""
    rows = []
    for run in runs:
        if run.setting.method not in ("t", "t-one", "t-learned") or run.setting.noise == "clean":
            continue
        for number in (1, 5, 14, 33, 75):
            look = PASSES.index(number)
            row = run.curve.iloc[look]
            precision = {"t": 0.0, "t-one": 1.0}.get(run.setting.method)
            precision = row["log_precision_0"] if precision is None else precision
            s = np.exp(precision) * run.counts["squared"][look]
            ratio = ((row["nu_0"] + PIXELS) / (row["nu_0"] + s)) / (PIXELS / s)
            rows.append(
                {
                    **{key: vars(run.setting)[key] for key in ("data", "noise", "method", "seed")},
                    "pass": number,
                    "nu": row["nu_0"],
                    "log_precision": precision,
                    "least_s": s.min(),
                    "median_s": np.median(s),
                    "weights_off_most": np.abs(ratio - 1).max(),
                    "weights_off_median": np.median(np.abs(ratio - 1)),
                    "heaviest_to_lightest": s.max() / s.min(),
                }
            )
    return pd.DataFrame(rows)


def table_of_tests(runs: pd.DataFrame) -> pd.DataFrame:
    """ANOVA and Tukey's test over the seeds, where two methods have two at least."""
    rows = []
    for place, of_place in runs.groupby(["data", "noise", "images"], sort=False):
        for look in ("best", "guard", "end"):
            values = {method: list(own[look]) for method, own in of_place.groupby("method")}
            values = {method: found for method, found in values.items() if len(found) > 1}
            if len(values) < 2:
                continue
            test = compare(values)
            means = {method: np.mean(found) for method, found in values.items()}
            apart = ""
            if test.tukey is not None:
                chosen = test.tukey[test.tukey["p_tukey"] < SIGNIFICANCE]
                apart = ", ".join(
                    f"{LABELS[a]} / {LABELS[b]}"
                    for a, b in zip(chosen["A"], chosen["B"], strict=True)
                )
            rows.append(
                {
                    **dict(zip(("data", "noise", "images"), place, strict=True)),
                    "look": look,
                    "methods": len(values),
                    "seeds": min(len(found) for found in values.values()),
                    "highest": max(means, key=means.__getitem__),
                    "mean": max(means.values()),
                    "lowest": min(means, key=means.__getitem__),
                    "lowest_mean": min(means.values()),
                    "f": test.f,
                    "p": test.p,
                    "apart": apart or "none",
                }
            )
    return pd.DataFrame(rows)


def table_of_pairs(runs: list[Run]) -> pd.DataFrame:
    """Paired differences over the test images: each method's end and best against CE+Dice's."""
    rows = []
    usual = {_place(run): run for run in runs if run.setting.method == "ce+dice"}
    for run in runs:
        other = usual.get(_place(run))
        if other is None:
            continue
        if run is not other:
            for name, choose in {"end": _end_images, "best": _best_images}.items():
                rows.append(
                    {
                        **vars(run.setting),
                        "compared": f"{name} with CE+Dice's",
                        **_paired(choose(run), choose(other)),
                    }
                )
        found = _paired(run.averaged_images[by_held_out(run)], _end_images(run))
        rows.append({**vars(run.setting), "compared": "guard with end", **found})
    return pd.DataFrame(rows)


def _place(run: Run) -> tuple:
    return run.setting.data, run.setting.noise, run.setting.images, run.setting.seed


def _end_images(run: Run) -> np.ndarray:
    return run.test_images[-LAST:].mean(0)


def _best_images(run: Run) -> np.ndarray:
    return run.test_images[int(run.test.argmax())]


def _paired(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    difference = one - other
    p = float(wilcoxon(one, other).pvalue) if np.any(difference) else 1.0
    return {"difference": difference.mean(), "higher": (difference > 0).mean(), "p": p}


def draw(runs: list[Run], data: str, path: Path) -> None:
    """Test Dice along training, a panel for each noise; a ring where the guard stops."""
    chosen = [run for run in runs if run.setting.data == data and run.setting.method in METHODS]
    noises = [noise for noise in NOISES if any(run.setting.noise == noise for run in chosen)]
    figure, panels = plt.subplots(
        1, len(noises), figsize=(4.2 * len(noises), 3.6), squeeze=False, layout="constrained"
    )
    for panel, noise in zip(panels[0], noises, strict=True):
        for number, method in enumerate(METHODS):
            of_method = [
                r for r in chosen if (r.setting.noise, r.setting.method) == (noise, method)
            ]
            for run in of_method:
                stop, colour = by_held_out(run), f"C{number}"
                style = "--" if method.endswith("stocot") else "-"
                label = LABELS[method] if run is of_method[0] else None
                panel.plot(PASSES, run.test, style, color=colour, label=label, linewidth=1.3)
                reached = run.averaged_images[stop].mean()
                panel.plot(PASSES[stop], reached, "o", color=colour, fillstyle="none")
        panel.set(title=TOLD[noise], xlabel="passes over the training images", xscale="log")
        panel.set_ylim(max(panel.get_ylim()[1] - 0.2, 0), None)
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("test Dice, clean masks")
    panels[0][0].legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def markdown(table: pd.DataFrame, columns: dict[str, str], formats: dict[str, str]) -> str:
    """A table of Markdown, with columns renamed and formatted."""
    head = "| " + " | ".join(columns.values()) + " |\n|" + "---|" * len(columns) + "\n"
    lines = [
        "| " + " | ".join(_cell(row[key], formats.get(key, "")) for key in columns) + " |"
        for _, row in table.iterrows()
    ]
    return head + "\n".join(lines) + "\n"


def _cell(value, form: str) -> str:
    return "" if isinstance(value, float) and np.isnan(value) else format(value, form)


def tables(
    runs: pd.DataFrame, stops: pd.DataFrame, weights: pd.DataFrame, tests: pd.DataFrame
) -> dict[str, str]:
    """The tables of the page, by name."""
    grouped = runs.groupby(["data", "noise", "images", "method"], sort=False)
    told = grouped.agg(
        seeds=("seed", "size"),
        best=("best", "mean"),
        best_pass=("best_pass", "median"),
        memorises_from=("memorises_from", "median"),
        guard=("guard", "mean"),
        guard_pass=("guard_pass", "median"),
        end=("end", "mean"),
        spread=("end", "std"),
    ).reset_index()
    told = told.assign(
        method=told["method"].map(LABELS),
        noise=told["noise"].map(TOLD),
        fall=told["best"] - told["end"],
    )
    three = dict.fromkeys(("best", "end", "fall", "guard", "spread"), ".3f")
    three |= dict.fromkeys(("best_pass", "memorises_from", "guard_pass"), ".0f")
    first = {
        "data": "data",
        "noise": "masks",
        "images": "images",
        "method": "method",
        "seeds": "seeds",
        "best": "best",
        "best_pass": "at pass",
        "memorises_from": "memorises from pass",
        "guard": "guard",
        "guard_pass": "at pass",
        "end": "end",
        "spread": "between seeds",
        "fall": "best − end",
    }
    second = {
        "rule": "signal",
        "rows": "runs",
        "runs": "n",
        "to_gain": "to gain",
        "gained": "gained",
        "share": "share",
        "worst": "worst run",
    }
    third = {
        "method": "loss",
        "pass": "pass",
        "nu": "ν",
        "log_precision": "λ",
        "least_s": "least e^λ S",
        "median_s": "median e^λ S",
        "weights_off_median": "weight off D / e^λ S, median",
        "weights_off_most": "at most",
    }
    fourth = {
        "data": "data",
        "noise": "masks",
        "look": "at",
        "methods": "methods",
        "seeds": "seeds",
        "highest": "highest",
        "mean": "mean",
        "lowest": "lowest",
        "lowest_mean": "mean",
        "p": "ANOVA p",
        "apart": "apart by Tukey's test",
    }
    told_tests = tests.assign(
        noise=tests["noise"].map(TOLD),
        highest=tests["highest"].map(LABELS),
        lowest=tests["lowest"].map(LABELS),
    )
    told_weights = weights.assign(method=weights["method"].map(LABELS))
    signed = dict.fromkeys(("to_gain", "gained", "worst"), "+.3f")
    offs = dict.fromkeys(("weights_off_median", "weights_off_most"), ".2%")
    sizes = {"nu": ".3f", "log_precision": ".2f", "least_s": ".1f", "median_s": ".1f"}
    return {
        "runs": markdown(told, first, three),
        "stops": markdown(stops, second, {**signed, "share": ".0%"}),
        "weights": markdown(told_weights, third, sizes | offs),
        "tests": markdown(told_tests, fourth, {"mean": ".3f", "lowest_mean": ".3f", "p": ".3g"}),
    }


def put(page: Path, name: str, table: str) -> None:
    """Put a table into a page, in place of the one that stands there."""
    before, _, rest = page.read_text().partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not end:
        raise ValueError(f"{page} has no place for {name!r}.")
    atomic_write_text(page, f"{before}<!-- {name} -->\n\n{table}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/results/regimes"))
    folder = parser.parse_args().folder
    places = list(DATA)
    names = sorted(path.stem for path in (folder / "counts").glob("*.npz"))
    runs = [Run(folder, name) for name in names]
    order = {method: number for number, method in enumerate(LABELS)}
    runs.sort(
        key=lambda run: (
            places.index(run.setting.data),
            list(NOISES).index(run.setting.noise),
            run.setting.images,
            order[run.setting.method],
            run.setting.seed,
        )
    )
    of_runs = table_of_runs(runs)
    found = of_runs, table_of_stops(runs), table_of_weights(runs), table_of_tests(of_runs)
    named = dict(zip(("runs", "stops", "weights", "anova"), found, strict=True))
    for name, table in {**named, "paired": table_of_pairs(runs)}.items():
        text = frame_csv(table, index=False, float_format="%.5g")
        atomic_write_text(folder / f"{name}.csv", text)
    for name, table in tables(*found).items():
        put(folder / "index.md", name, table)
    for data in dict.fromkeys(run.setting.data for run in runs):
        draw(runs, data, folder / f"{data}.png")


if __name__ == "__main__":
    main()
