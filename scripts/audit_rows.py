"""The rows of `evaluate_audit.py`: masks with errors, judged by small models, and every score.

Rows are few and small (some 240 images of 64 x 64, or 60 volumes), so that each is trained in some
five minutes of a core and judged in one or two; predictions that are in the folder of the work are
taken as they are.

What was looked at while the score was designed is named as development in `ROWS`; the other rows
were looked at when it stood.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom

from keras_robust.audit.truth import kind_of_noise
from keras_robust.data import Case, Dataset
from keras_robust.noise import LabelNoise
from keras_robust.suspicion import SCORES, Comparison, Judged
from keras_robust.suspicion.base import Score
from keras_robust.suspicion.kinds import kind_of_error
from keras_robust.suspicion.kinds.others import Others
from keras_robust.suspicion.learned.default_score import DefaultScore
from keras_robust.suspicion.learned.trust import Trust

WRONG_BELOW = 0.8  # of the crowd's masks, the Dice with the gold standard


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
    """What a row is judged by: masks, the true ones, predictions in 8 bits, kinds of error, and
    what an audit should call them."""

    given: NDArray[np.uint8]
    true: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    kinds: NDArray[Any]
    called: NDArray[Any]

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

    def comparisons(self) -> Iterator[Comparison]:
        """Of each mask with what its model says."""
        for number, (mask, p) in enumerate(zip(self.given, self.predicted, strict=True)):
            yield Comparison(Judged(str(number), mask, p), self.classes)


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    axes = tuple(range(1, one.ndim))
    return 2 * (one & other).sum(axes) / np.maximum(one.sum(axes) + other.sum(axes), 1)


def masks_of(row: Row, data: Path, work: Path) -> Masks:
    """Those of a row, with the predictions of its file, or of two small models trained now."""
    images, ids, given, true, kinds, called = _read(row, data)
    kept = np.random.default_rng(0).permutation(len(given))[: row.judged]
    path = work / f"{row.name}.npz"
    if not path.is_file():
        predicted = _out_of_fold(images, given, ids, row)
        work.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, predicted=predicted[kept])
    with np.load(path) as stored:
        predicted = stored["predicted"]
    return Masks(given[kept], true[kept], predicted, kinds[kept], called[kept])


def _read(row: Row, data: Path) -> tuple[NDArray, ...]:
    """Images, ids, masks, true ones, the kinds of their errors and how an audit calls these."""
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
        true = np.stack([_mask(dataset, gold[id], row.grid) for id in ids])
        unknown = np.full(len(ids), "")
        return images, np.array(ids), np.stack(drawn), true, unknown, unknown
    noise = LabelNoise(alpha=row.alpha, beta=row.beta, seed=0, kinds=(row.family,))
    given, log = noise.apply(drawn, ids)
    kinds = np.array([done.kind for done in log])
    called = np.array([kind_of_noise(done.kind, done.whole) for done in log])
    return images, np.array(ids), np.stack(given), np.stack(drawn), kinds, called


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
        look(list(made.values()), masks)
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


def look(scores: Sequence[Score], masks: Masks) -> None:
    """Show all masks to the scores, twice."""
    for passes in ([score.learn for score in scores], [score.judge for score in scores]):
        for comparison in masks.comparisons():
            for see in passes:
                see(comparison)


def kinds_said(masks: Masks, chosen: NDArray[np.bool_]) -> NDArray[Any]:
    """What the audit says of the chosen masks, knowing all of them."""
    others = Others()
    comparisons = list(masks.comparisons())
    for comparison in comparisons:
        others.add(comparison)
    judged = [comparisons[index] for index in np.flatnonzero(chosen)]
    return np.array([kind_of_error(one, fit=others.fit(one)) for one in judged])
