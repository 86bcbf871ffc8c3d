"""How well the default score does what it promises, on small models: docs/results/audit/scores.md.

    python scripts/evaluate_scores.py shared/data [--work runs/audit-scores]

Rows are few and small (some 240 images of 64 x 64, or 60 volumes), so that each is trained in some
five minutes of a core and judged in one or two; predictions that are in the folder of the work are
taken as they are. `scripts/evaluate_audit.py` has the larger rows.

What was looked at while the score was designed is named as development in `ROWS`; the other rows
were looked at when it stood.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from keras_robust.common.files import atomic_write_text
from keras_robust.data import Case, Dataset
from keras_robust.metrics.ranking import auroc, average_precision
from keras_robust.noise import GROUPS, LabelNoise
from keras_robust.suspicion import SCORES, Comparison, Judged
from keras_robust.suspicion.base import Score
from keras_robust.suspicion.learned.default_score import DefaultScore
from keras_robust.suspicion.learned.trust import Trust

WRONG_BELOW = 0.8  # of the crowd's masks, the Dice with the gold standard
HEAD = """# What the default score promises, and what it holds

Models that train for a few minutes of one core; better ones find more. Dice of their predictions
with the true masks: {dice}.
Every mask is judged by a model that was trained with T-Loss + Dice on the other half of the
images, on masks with the same errors. Rows `isic` and `hippocampus` have simulated errors in a
share α of the masks, of about β of the object: `shapes` (grown, shrunk, moved), `mistakes` (parts,
objects, outlines, slices, classes, files), or none. `bubil` has real ones of a crowd: wrong is a
mask whose Dice with the gold standard is below .8.

The score was designed on the rows marked \\*, and on scenes that a program drew (discs, tiny and
many objects, vessels, membranes, nested classes, volumes); the other rows were looked at once.
Larger rows, of the score before this one, are in [the results of the audit](index.md).

Written by `scripts/evaluate_scores.py`.
"""


@dataclass(frozen=True, eq=False)
class Row:
    """A dataset with errors of one family; `family` "" for those that are there already.

    So many `masks` are trained on, and so many of them `judged`, on a `grid`; the models work at a
    `size`.
    """

    name: str
    folder: str
    family: str
    alpha: float
    beta: float
    masks: int
    judged: int
    grid: tuple[int, ...]
    size: tuple[int, ...]
    epochs: int = 40
    features: int = 16
    batch_size: int = 8
    learning_rate: float = 1e-3
    depth: int | None = None
    development: bool = False


_ISIC = partial(
    Row,
    folder="isic2018_task1_128",
    masks=240,
    judged=240,
    grid=(96, 96),
    size=(64, 64),
    development=True,
)
_HIPPOCAMPUS = partial(
    Row,
    folder="msd_hippocampus",
    masks=60,
    judged=60,
    grid=(32, 48, 32),
    size=(32, 48, 32),
    features=8,
    batch_size=4,
    depth=3,
)
_BUBIL = partial(
    Row, folder="bubil_multi_256", masks=1890, judged=700, grid=(96, 96), size=(64, 64), epochs=8
)
ROWS = (
    _ISIC("isic-shapes-a0.3-b0.5", family="shapes", alpha=0.3, beta=0.5),
    _ISIC("isic-shapes-a0.1-b0.5", family="shapes", alpha=0.1, beta=0.5),
    _ISIC("isic-mistakes-a0.3-b0.5", family="mistakes", alpha=0.3, beta=0.5),
    _ISIC("isic-mistakes-a0.1-b0.5", family="mistakes", alpha=0.1, beta=0.5),
    _ISIC("isic-clean", family="shapes", alpha=0.0, beta=0.0),
    _HIPPOCAMPUS("hippocampus-shapes-a0.3-b0.5", family="shapes", alpha=0.3, beta=0.5),
    _HIPPOCAMPUS("hippocampus-mistakes-a0.3-b0.5", family="mistakes", alpha=0.3, beta=0.5),
    _HIPPOCAMPUS("hippocampus-clean", family="shapes", alpha=0.0, beta=0.0),
    _BUBIL("bubil-crowd", family="", alpha=0.0, beta=0.0, development=True),
)


@dataclass(frozen=True)
class Masks:
    """What a row is judged by: masks, the true ones, predictions in 8 bits, kinds of error."""

    given: NDArray[np.uint8]
    true: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    kinds: NDArray[Any]

    @property
    def classes(self) -> int:
        channels = self.predicted.shape[-1]
        return 2 if channels == 1 else channels

    def dice(self) -> NDArray[np.float64]:
        """Of given and true masks, foreground as one."""
        return _dice(self.given > 0, self.true > 0)

    def of_model(self) -> float:
        """Mean Dice of the predictions with the true masks, foreground as one."""
        p = self.predicted
        labels = p[..., 0] > 127 if p.shape[-1] == 1 else p.argmax(axis=-1)
        return float(_dice(labels > 0, self.true > 0).mean())

    def cases(self) -> list[Judged]:
        pairs = zip(self.given, self.predicted, strict=True)
        return [Judged(str(number), mask, p) for number, (mask, p) in enumerate(pairs)]


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    axes = tuple(range(1, one.ndim))
    return 2 * (one & other).sum(axes) / np.maximum(one.sum(axes) + other.sum(axes), 1)


def masks_of(row: Row, data: Path, work: Path) -> Masks:
    """Those of a row: from its file, or made by training two small models."""
    path = work / f"{row.name}.npz"
    if not path.is_file():
        images, given, true, kinds, groups = _read(row, data)
        predicted = _out_of_fold(images, given, groups, row)
        kept = np.random.default_rng(0).permutation(len(given))[: row.judged]
        arrays = {"given": given, "true": true, "predicted": predicted, "kinds": kinds}
        work.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **{name: array[kept] for name, array in arrays.items()})
    stored = np.load(path)
    return Masks(*(stored[name] for name in ("given", "true", "predicted", "kinds")))


def _read(row: Row, data: Path) -> tuple[NDArray, ...]:
    dataset = Dataset.open(data / row.folder)
    cases = list(dataset.select(split="train") if row.family else dataset)
    gold = {case.id: case for case in cases if case.annotator == "gold"}
    if gold:
        cases = [case for case in cases if case.annotator.startswith("crowd")]
    chosen = [cases[i] for i in np.random.default_rng(0).permutation(len(cases))[: row.masks]]
    ids = [case.id for case in chosen]
    images = np.stack([_image(dataset, case, row.size) for case in chosen])
    drawn = [_mask(dataset, case, row.grid) for case in chosen]
    if gold:
        true = [_mask(dataset, gold[id], row.grid) for id in ids]
        return images, np.stack(drawn), np.stack(true), np.full(len(ids), "real"), np.array(ids)
    noise = LabelNoise(alpha=row.alpha, beta=row.beta, seed=0, kinds=(row.family,))
    given, log = noise.apply(drawn, ids)
    kinds = np.array([done.kind for done in log])
    return images, np.stack(given), np.stack(drawn), kinds, np.array(ids)


def _mask(dataset: Dataset, case: Case, grid: tuple[int, ...]) -> NDArray[np.uint8]:
    return _resized(dataset.read_mask(case).astype(np.uint8), grid, 0)


def _image(dataset: Dataset, case: Case, size: tuple[int, ...]) -> NDArray[np.float32]:
    image = np.asarray(dataset.read_image(case), np.float32)
    image = image[..., np.newaxis] if image.ndim == len(size) else image
    image = _resized(image, size, 1)
    return (image - image.mean()) / (image.std() + 1e-6)


def _resized(array: NDArray, size: tuple[int, ...], order: int) -> NDArray:
    factors = [new / old for new, old in zip(size, array.shape, strict=False)]
    factors += [1.0] * (array.ndim - len(size))
    return zoom(np.asarray(array), factors, order=order, grid_mode=True, mode="nearest")


def _out_of_fold(images: NDArray, masks: NDArray, groups: NDArray, row: Row) -> NDArray[np.uint8]:
    import keras

    from keras_robust import losses
    from keras_robust.models import UNet

    number = np.unique(groups, return_inverse=True)[1]
    fold = (np.random.default_rng(0).permutation(number.max() + 1) % 2)[number]
    channels = 1 if masks.max() == 1 else int(masks.max()) + 1
    labels = np.stack([_resized(mask, row.size, 0) for mask in masks])[..., np.newaxis]
    labels = labels.astype("float32" if channels == 1 else "int32")
    found = np.zeros((*masks.shape, channels), np.float32)
    for held_out in range(2):
        keras.utils.set_random_seed(held_out)
        model = UNet(images.shape[1:], channels, row.features, max_features=128, depth=row.depth)
        optimizer = keras.optimizers.Adam(row.learning_rate)
        model.compile(optimizer, losses.get("t+dice"), jit_compile=False)
        learn = fold != held_out
        chance = np.random.default_rng(held_out)
        for _ in range(row.epochs):
            shown = _turned(images[learn], labels[learn], chance)
            model.fit(*shown, batch_size=row.batch_size, verbose=0)
        predicted = model.predict(images[~learn], batch_size=16, verbose=0)
        found[~learn] = [np.clip(_resized(one, row.grid, 1), 0, 1) for one in predicted]
    return np.round(found * 255).astype(np.uint8)


def _turned(images: NDArray, labels: NDArray, chance: np.random.Generator) -> list[NDArray]:
    """Pictures turned by quarters and mirrored, each with its mask; volumes as they are."""
    if images.ndim == 5:
        return [images, labels]
    ways = chance.integers(8, size=len(images))

    def one(array: NDArray, way: int) -> NDArray:
        turned = np.rot90(array, way % 4)
        return turned[::-1] if way > 3 else turned

    return [np.stack(list(map(one, arrays, ways))) for arrays in (images, labels)]


@dataclass(frozen=True)
class Evidence:
    """A row with what is said of it."""

    row: Row
    masks: Masks
    scores: Mapping[str, NDArray[np.float64]]
    trust: Trust

    @classmethod
    def of(cls, row: Row, masks: Masks) -> "Evidence":
        """By every score of the project."""
        default = DefaultScore(masks.classes)
        others = {name: make(masks.classes) for name, make in SCORES.built_in.items()}
        made = {**others, "default": default}
        _look(list(made.values()), masks)
        scores = {name: np.array(score.scores()) for name, score in made.items()}
        return cls(row, masks, scores, default.trust({}))

    @property
    def name(self) -> str:
        return f"{self.row.name} \\*" if self.row.development else self.row.name

    @property
    def wrong(self) -> NDArray[np.bool_]:
        if not self.row.family:
            return self.masks.dice() < WRONG_BELOW
        axes = tuple(range(1, self.masks.given.ndim))
        return (self.masks.given != self.masks.true).any(axis=axes)

    @property
    def p_wrong(self) -> NDArray[np.float64]:
        return -np.expm1(-self.scores["default"])


def _look(scores: Sequence[Score], masks: Masks) -> None:
    """Show all masks to the scores, twice."""
    for passes in ([score.learn for score in scores], [score.judge for score in scores]):
        for case in masks.cases():
            comparison = Comparison(case, masks.classes)
            for look in passes:
                look(comparison)


def page(rows: list[Evidence]) -> str:
    """The page, of rows that are judged."""
    dice = ", ".join(f"{one.masks.of_model():.2f} ({one.row.name})" for one in rows)
    tables = (_held, _detection, _probabilities, _recalls, _left_out)
    return "\n".join([HEAD.format(dice=dice), *(line for table in tables for line in table(rows))])


def _held(rows: list[Evidence]) -> Iterator[str]:
    """Each promise with the figure that was reached, met or missed."""
    yield "## What holds\n"
    for one in rows:
        wrong, flagged = one.wrong, one.p_wrong > 0.5
        error = _calibration_error(one.p_wrong, wrong)
        checks = [(f"calibration error {error:.2f}, .05 at most", error <= 0.05)]
        if wrong.any():
            values = {name: auroc(scores, wrong) for name, scores in one.scores.items()}
            best = max(value for name, value in values.items() if name != "default")
            margin = values["default"] - best
            checks.append(
                (f"{margin:+.3f} to the best other score, -.010 at least", margin >= -0.01)
            )
            recall, hits = flagged[wrong].mean(), (flagged & wrong).sum()
            precision = hits / max(flagged.sum(), 1)
            found = (
                f"{recall:.0%} of the wrong flagged at a precision of {precision:.0%}, 80 and 70 %"
            )
            checks.append((found, recall >= 0.8 and precision >= 0.7))
        else:
            checks.append((f"{flagged.mean():.0%} flagged, 5 % at most", flagged.mean() <= 0.05))
        said = "; ".join(f"{text}: **{'met' if met else 'missed'}**" for text, met in checks)
        yield f"- {one.name}: {said}."
    yield ""


def _detection(rows: list[Evidence]) -> Iterator[str]:
    names = list(rows[0].scores)
    yield "## AUROC\n"
    yield f"| row | masks | wrong | {' | '.join(names)} | average precision | control |"
    yield "|---|" + "--:|" * (len(names) + 4)
    found = []
    for one in rows:
        wrong = one.wrong
        if wrong.any():
            values = [auroc(one.scores[name], wrong) for name in names]
            found.append(values)
            cells = [f"**{v:.3f}**" if v == max(values) else f"{v:.3f}" for v in values]
            precision = average_precision(one.scores["default"], wrong)
            control = "" if one.row.family else f"{_control(one):.3f}"
            yield (
                f"| {one.name} | {len(wrong)} | {wrong.sum()} | {' | '.join(cells)} | "
                f"{precision:.2f} | {control} |"
            )
    means = " | ".join(f"{value:.3f}" for value in np.mean(found, axis=0))
    yield f"| mean | | | {means} | | |"
    yield (
        "\nControl, for real errors: AUROC of the soft Dice of the *true* masks. As far as it is\n"
        "above .5, masks are wrong where images are difficult, and a score finds them for that.\n"
    )


def _control(one: Evidence) -> float:
    masks = Masks(one.masks.true, one.masks.true, one.masks.predicted, one.masks.kinds)
    (score,) = scores = [SCORES.built_in["soft_dice"](masks.classes)]
    _look(scores, masks)
    return auroc(score.scores(), one.wrong)


def _probabilities(rows: list[Evidence]) -> Iterator[str]:
    yield "## P(wrong)\n"
    yield (
        "Flagged are masks of a P above one half. Wanted: 80 % of the wrong ones, at a precision\n"
        "of 70 %; of masks that are all right 5 % at most; a calibration error of .05 at most.\n"
    )
    yield "| row | wrong | estimated | flagged | recall | precision | calibration error |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for one in rows:
        wrong, p = one.wrong, one.p_wrong
        flagged, hits = p > 0.5, int(((p > 0.5) & wrong).sum())
        recall = f"{hits / wrong.sum():.2f}" if wrong.any() else ""
        precision = f"{hits / flagged.sum():.2f}" if flagged.any() and wrong.any() else ""
        yield (
            f"| {one.name} | {wrong.mean():.2f} | {p.mean():.2f} | {flagged.mean():.2f} | "
            f"{recall} | {precision} | {_calibration_error(p, wrong):.2f} |"
        )


def _calibration_error(p: NDArray[np.float64], wrong: NDArray[np.bool_]) -> float:
    """Expected, over tenths."""
    tenth = np.minimum((p * 10).astype(int), 9)
    found = 0.0
    for one in np.unique(tenth):
        chosen = tenth == one
        found += abs(float(p[chosen].mean() - wrong[chosen].mean())) * float(chosen.mean())
    return found


def _recalls(rows: list[Evidence]) -> Iterator[str]:
    yield "\n## What the audit says of itself\n"
    yield (
        "Share among the first 10 % of the masks: of planted mistakes that change about so\n"
        "much of the objects, and of the errors that are there. "
        "They should agree within .10, as far\n"
        "as all that are wrong find room among the first 10 %.\n"
    )
    yield "| row | planted, 10 % | 20 % | 50 % | actual errors | AUROC of planted |"
    yield "|---|--:|--:|--:|--:|--:|"
    for one in rows:
        planted = {part.change: f"{part.first:.2f}" for part in one.trust.found}
        score, wrong = one.scores["default"], one.wrong
        actual = (score >= np.quantile(score, 0.9))[wrong]
        cells = [planted.get(change, "") for change in (0.1, 0.2, 0.5)]
        cells += [f"{actual.mean():.2f}" if wrong.any() else "", f"{one.trust.auroc:.3f}"]
        yield f"| {one.name} | {' | '.join(cells)} |"


def _left_out(rows: list[Evidence]) -> Iterator[str]:
    yield "\n## Without the kind that is judged\n"
    yield (
        "AUROC of the default score, of wrong masks of one kind among the right ones: as it is,\n"
        "and learned without mistakes of that kind.\n"
    )
    yield "| row | kind | masks | with | without |"
    yield "|---|---|--:|--:|--:|"
    for one in rows:
        wrong, kinds = one.wrong, one.masks.kinds
        for kind in sorted(set(kinds[wrong]) & set(GROUPS["all"])):
            chosen = ~wrong | (kinds == kind)
            count = int((wrong & (kinds == kind)).sum())
            own = auroc(one.scores["default"][chosen], wrong[chosen])
            without = auroc(_learned_without(kind, one.masks)[chosen], wrong[chosen])
            yield f"| {one.name} | {kind} | {count} | {own:.3f} | {without:.3f} |"


def _learned_without(kind: str, masks: Masks) -> NDArray[np.float64]:
    class Without(DefaultScore):
        kinds = tuple(name for name in GROUPS["all"] if name != kind)

    score = Without(masks.classes)
    _look([score], masks)
    return np.array(score.scores())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the datasets")
    parser.add_argument("--work", type=Path, default=Path("runs/audit-scores"))
    parser.add_argument("--output", type=Path, default=Path("docs/results/audit/scores.md"))
    parser.add_argument("--rows", nargs="*", help="names of rows; by default all")
    asked = parser.parse_args()
    chosen = [row for row in ROWS if asked.rows is None or row.name in asked.rows]
    rows = []
    for row in chosen:
        masks = masks_of(row, asked.data, asked.work)
        rows.append(Evidence.of(row, masks))
        print(f"{row.name}: Dice of the predictions {masks.of_model():.3f}", flush=True)
    atomic_write_text(asked.output, page(rows) + "\n")


if __name__ == "__main__":
    main()
