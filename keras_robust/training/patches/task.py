"""Training on patches by a plan, with nnU-Net's recipe."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import keras
import numpy as np
from keras.ops import convert_to_numpy

from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.progress import FiguresProgress
from keras_robust.common.tables import write_csv
from keras_robust.data import Case, Dataset
from keras_robust.data.files.maps import foreground_probability, save_probability
from keras_robust.models.compiled import compiled
from keras_robust.planning.plan_files import load_configuration, require_plan_of
from keras_robust.training.config import PlanConfig, TrainConfig
from keras_robust.training.devices import require_shared
from keras_robust.training.evaluation import dice_scores, overlap_counts
from keras_robust.training.patches.batches import patch_batches
from keras_robust.training.patches.cases import PatchSource, prepare_cases
from keras_robust.training.patches.evaluation import predictions, stored_overlap
from keras_robust.training.patches.network import (
    build_planned,
    compile_planned,
    finest,
    output_strides,
)
from keras_robust.training.patches.optimizer import polynomial_decay
from keras_robust.training.patches.patches import Patches
from keras_robust.training.patches.previous import PreviousStage
from keras_robust.training.patches.pseudo_dice import columns, dice_of_classes
from keras_robust.training.patches.recipe import planned
from keras_robust.training.run import Run

__all__ = ["PlannedTask"]


class PlannedTask:
    """A run by a plan; see `keras_robust.training.task.Task`.

    Raises:
        ValueError: The batches cannot be shared by the devices; see also `load_plan`, `planned`,
            `require_plan_of` and `prepare_cases`.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: TrainConfig,
        options: PlanConfig,
        run: Run,
        progress: FiguresProgress,
    ):
        self.dataset, self.config, self.options, self.run = dataset, config, options, run
        self.progress = progress
        plan, self.fingerprint = load_configuration(options.folder, options.configuration)
        if options.regions and config.selection is not None:
            raise invalid(
                "selection",
                (
                    "none with plan.regions: two peers choose voxels by the probability of "
                    "their one label, and regions overlap"
                ),
                said=f"selection.name={config.selection.name!r}",
                remedy="Train labels, or one network.",
            )
        self.plan = planned(plan, options, dataset.learned_regions)
        require_shared(self.plan.batch_size, "plan.batch_size")
        if run.has_checkpoint:
            require_plan_of(run.folder, self.plan, self.fingerprint)
        atomic_write_text(run.folder / "training_plan.json", self.plan.to_json())
        atomic_write_text(
            run.folder / "fingerprint.json", self.fingerprint.model_dump_json(indent=2) + "\n"
        )
        self.previous = None
        if self.plan.previous:
            self.previous = PreviousStage.of(options.previous, self.plan)
            self.previous.write(run.folder)
        self.cases = prepare_cases(
            dataset,
            config,
            self.plan,
            self.fingerprint,
            run.folder,
            lambda done, total: progress("data", done, total, {}),
            self.previous,
        )
        self.steps = options.steps_per_epoch
        self.tested = False
        axes = tuple(range(len(self.plan.patch_size)))
        chosen = axes if options.mirror_axes is None else options.mirror_axes
        self.mirror_axes = chosen if config.augment else ()
        self.patches = self._patches(self.cases.train, self.steps, config.augment)
        self.validation = (
            self._patches(self.cases.validation, options.validation_steps, augmented=False)
            if self.cases.validation
            else None
        )

    @property
    def facts(self) -> dict[str, Any]:
        shape = [*self.plan.patch_size, self.plan.channels(self.dataset.classes)]
        return {"image_shape": shape, "classes": self.dataset.classes}

    def build(self) -> keras.Model:
        self.model = build_planned(self.config, self.plan, self.dataset.classes)
        ignore_label = self.dataset.ignore_label
        self.metric = compile_planned(self.model, self.config, self.plan, ignore_label)
        self.finest = finest(self.model)
        self._overlap = compiled(
            lambda images, labels: overlap_counts(
                self.finest(images, training=False), labels, ignore_label, self.plan.regions
            ),
            self.finest,
            self.patches.like,
        )
        return self.model

    def stream(self, first_epoch: int) -> Iterable[Any]:
        strides = output_strides(self.model, self.plan)
        return patch_batches(
            self.patches, first_epoch, strides if len(strides) > 1 else None, self.config.threads
        )

    def callbacks(self) -> list[keras.callbacks.Callback]:
        rate, epochs = self.options.learning_rate, self.config.epochs
        return [
            keras.callbacks.LearningRateScheduler(
                lambda epoch: polynomial_decay(rate, epoch, epochs)
            ),
            keras.callbacks.LambdaCallback(on_epoch_end=self._pool_training),
        ]

    def _pool_training(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """Keep the Dice of the epoch: machines that train together read it together."""
        self.trained_dice = self.metric.of_classes()

    def columns(self, epoch: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        found = columns("pseudo_dice_train", self.trained_dice, rows)
        if self.validation is not None:
            batches = patch_batches(self.validation, epoch, threads=self.config.threads)
            counts = [
                self._overlap(images, labels)
                for images, labels in islice(batches, self.options.validation_steps)
            ]
            both, total = (
                sum(np.asarray(convert_to_numpy(of_patches)).sum(0) for of_patches in each)
                for each in zip(*counts, strict=True)
            )
            found |= columns("pseudo_dice_val", dice_of_classes(both, total), rows)
        test = self.cases.test if self.config.evaluate_last else None
        if epoch + 1 == self.config.epochs and test is not None:
            found |= self._test(test)
        return found

    def is_best(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        name = "pseudo_dice_val_ema" if self.validation is not None else "pseudo_dice_train_ema"
        return all(row[name] < rows[-1][name] for row in rows[:-1])

    def describe(self, epoch: int, batch: int) -> str:
        size = self.plan.batch_size
        numbers = range(batch * size, (batch + 1) * size)
        return ", ".join(dict.fromkeys(self.patches.case_of(epoch, n).id for n in numbers))

    def finish(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        if self.config.evaluate_last and self.cases.test is not None and not self.tested:
            self._test(self.cases.test)  # test.csv may have been lost since
        if self.config.save_predictions:
            kinds = list(self.cases.kinds)
            ids = [self.cases.chosen.ids[kinds.index(kind)] for kind in sorted(set(kinds))]
            first = self.cases.chosen.select(ids=ids)
            # Pictures to look at: mirroring would make them take up to eight times as long.
            for case, probabilities in self._predictions(first, mirror_axes=()):
                self._save(case, probabilities)
        if self.cases.test is None:
            return {}
        results = {key: v for key, v in rows[-1].items() if key.startswith("dice_test")}
        return {key: float(value) for key, value in results.items()}

    def _test(self, test: Dataset) -> dict[str, float]:
        """Predict and score the test images; the results go to test.csv as well."""
        self.tested = True
        both, total, ids = [], [], []
        for number, (case, probabilities) in enumerate(self._predictions(test, self.mirror_axes)):
            if number < self.config.save_predictions:
                self._save(case, probabilities)
            counts = stored_overlap(
                probabilities, test.read_mask(case), self.dataset.ignore_label, self.plan.regions
            )
            both.append(counts[0])
            total.append(counts[1])
            ids.append(case.id)
        scores = dice_scores(np.array(both), np.array(total))
        classes = range(np.shape(both)[1])
        of_class = [
            dice_scores(np.array(both)[:, [c]], np.array(total)[:, [c]]).per_image for c in classes
        ]
        names = [f"dice_{label + 1}" for label in classes] if len(classes) > 1 else []
        rows = [
            {
                "id": id,
                "dice": float(scores.per_image[number]),
                **{name: float(of_class[c][number]) for c, name in enumerate(names)},
            }
            for number, id in enumerate(ids)
        ]
        write_csv(self.run.folder / "test.csv", ["id", "dice", *names], rows)
        return {
            "dice_test": float(scores.per_image.mean()),
            "dice_test_std_images": float(scores.per_image.std()),
            "dice_test_pooled": scores.pooled,
            **{
                f"dice_test_{label + 1}": float(of_class[label].mean())
                for label in (classes if names else ())
            },
        }

    def _predictions(self, dataset: Dataset, mirror_axes: tuple[int, ...]):
        return predictions(
            self.finest,
            dataset,
            self.plan,
            self.fingerprint,
            mirror_axes,
            self.previous,
            lambda done, total: self.progress("predict", done, total, {}),
        )

    def _save(self, case: Case, probabilities: np.ndarray) -> None:
        foreground = foreground_probability(np.asarray(probabilities))
        save_probability(self.run.folder / "predictions", case.id, foreground, case.image)

    def _patches(self, cases: Sequence[PatchSource], steps: int, augmented: bool) -> Patches:
        return Patches(
            cases,
            self.plan,
            per_epoch=steps * self.plan.batch_size,
            seed=self.config.seed,
            foreground=self.options.foreground,
            augmented=augmented,
            mirror_axes=self.mirror_axes,
            classes=self.dataset.classes,
        )
