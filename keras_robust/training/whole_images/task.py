"""Training on whole images, resized: the recipe of the T-Loss paper."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.progress import FiguresProgress
from keras_robust.common.tables import write_csv
from keras_robust.data import Dataset
from keras_robust.noise import KINDS
from keras_robust.training.build import build_model, compile_model
from keras_robust.training.config import TrainConfig
from keras_robust.training.devices import require_shared
from keras_robust.training.evaluation import DiceScores, Evaluator, evaluation_batch_size
from keras_robust.training.memorising.correction import CORRECTED
from keras_robust.training.memorising.looks import HELD_OUT, is_due, looks
from keras_robust.training.run import Run
from keras_robust.training.source import Source
from keras_robust.training.whole_images.batches import batch_ids, training_batches
from keras_robust.training.whole_images.cases import prepare
from keras_robust.training.whole_images.corrections import read_corrected, write_corrected
from keras_robust.training.whole_images.predictions import save_predictions


class WholeImages:
    """A run on whole images; see `keras_robust.training.task.Task`."""

    def __init__(self, dataset: Dataset, config: TrainConfig, run: Run, progress: FiguresProgress):
        self.config, self.run = config, run
        self.data = prepare(
            dataset, config, run.folder, lambda done, n: progress("data", done, n, {})
        )
        self.batch_size = min(config.batch_size, len(self.data.train.ids))
        require_shared(self.batch_size, "batch_size")
        self.steps_of_pass = len(self.data.train.ids) // self.batch_size
        self.steps = config.steps_per_epoch or self.steps_of_pass
        self.corrects = False
        if config.correct and self.data.train.mask(0).dtype.kind == "f":
            raise invalid(
                "correct", "False with soft masks, which are probabilities already", config.correct
            )

    @property
    def facts(self) -> dict[str, Any]:
        return {"image_shape": list(self.data.image_shape), "classes": self.data.classes}

    def build(self) -> keras.Model:
        self.model = build_model(self.config, self.data.image_shape, self.data.classes)
        compile_model(self.model, self.config, self.data.ignore_label)
        clean = self.data.train_clean
        self.train = self._evaluator(clean) if clean.ids else None
        test = self.data.test if self.config.evaluate_last else None
        self.test = None if test is None else self._evaluator(test)
        held_out = self.data.held_out
        self.held_out = None if held_out is None else self._evaluator(held_out)
        return self.model

    def stream(self, first_epoch: int) -> Iterable[Any]:
        return training_batches(
            self.data.train,
            batch_size=self.batch_size,
            seed=self.config.seed,
            first_step=first_epoch * self.steps,
            augment=self.config.augment,
            normalize=self.config.data.normalize,
            threads=self.config.threads,
        )

    def callbacks(self) -> list[keras.callbacks.Callback]:
        return []

    def columns(self, epoch: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        last = epoch + 1 == self.config.epochs
        columns: dict[str, float] = {}
        if self.train is not None and (last or (epoch + 1) % self.config.evaluate_every == 0):
            kinds = self.data.kinds[np.isin(self.data.train.ids, self.train.ids)]
            columns |= memorisation(self.train.scores(), kinds)
        if self.test is not None and epoch >= self.config.epochs - self.config.evaluate_last:
            scores = self.test.scores()
            columns["dice_test"] = float(scores.per_image.mean())
            columns["dice_test_pooled"] = scores.pooled
        if self.corrects:
            columns[CORRECTED] = 1.0
        elif self.held_out is not None and is_due(looks(rows)[0], epoch + 1):
            columns[HELD_OUT] = float(self.held_out.scores().per_image.mean())
        return columns

    def correct(self, states: Sequence[bytes]) -> float:
        """Train from now on with masks that networks of these states put right.

        Returns:
            Share of the pixels that changed.
        """
        write_corrected(self.run.folder, self.model, states, self.data, self.config)
        before = self.data.train
        self.recall()
        pairs = (
            (before.mask(index), self.data.train.mask(index)) for index in range(len(before.ids))
        )
        return float(np.mean([np.mean(old != new) for old, new in pairs]))

    def recall(self) -> None:
        """Train from now on with the masks that were corrected before."""
        self.corrects = True
        self.data = replace(self.data, train=read_corrected(self.run.folder, self.data))

    def is_best(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        return False

    def describe(self, epoch: int, batch: int) -> str:
        passes, batch = divmod(epoch * self.steps + batch, self.steps_of_pass)
        ids = batch_ids(self.data.train.ids, self.batch_size, self.config.seed, passes, batch)
        return ", ".join(ids)

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        save_predictions(self.run.folder / "predictions", self.model, self.data, self.config)
        if self.test is None:
            return {}
        final = self.test.scores()
        test_rows = [
            {"id": id, "dice": float(dice)}
            for id, dice in zip(self.test.ids, final.per_image, strict=True)
        ]
        write_csv(self.run.folder / "test.csv", ["id", "dice"], test_rows)
        std = float(final.per_image.std())
        if self.held_out is not None:  # the model is that of one epoch, chosen
            return {
                "dice_test": float(final.per_image.mean()),
                "dice_test_std_images": std,
                "dice_test_pooled": final.pooled,
            }
        last = [row for row in rows if "dice_test" in row]
        return {
            "dice_test": float(np.mean([row["dice_test"] for row in last])),
            "dice_test_std_images": std,
            "dice_test_pooled": float(np.mean([row["dice_test_pooled"] for row in last])),
        }

    def _evaluator(self, source: Source) -> Evaluator:
        return Evaluator(
            self.model,
            source,
            batch_size=evaluation_batch_size(self.data.image_shape, self.config.model.features),
            normalize=self.config.data.normalize,
            threads=self.config.threads,
            ignore_label=self.data.ignore_label,
        )


def memorisation(scores: DiceScores, kinds: np.ndarray) -> dict[str, float]:
    """Mean Dice of training predictions against clean masks, overall and per kind of noise.

    Kinds other than the default ones count together, as `mistakes`.
    """
    columns = {"dice_train": float(scores.per_image.mean())}
    own = ("clean", *KINDS)
    groups = np.array([kind if kind in own else "mistakes" for kind in kinds])
    for group in (*own, "mistakes"):
        chosen = scores.per_image[groups == group]
        if len(chosen):
            columns[f"dice_train_{group}"] = float(chosen.mean())
    return columns
