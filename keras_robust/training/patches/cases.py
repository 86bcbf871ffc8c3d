"""The cases of a planned run: preprocessed ones to draw patches from, and the test images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.common.hashes import sha256
from keras_robust.common.progress import Progress
from keras_robust.data import Case, Dataset
from keras_robust.data.files.ignored import set_aside_ignored
from keras_robust.noise import LabelNoise, check_possible, corrupt_planned, write_log
from keras_robust.planning.fingerprint import Fingerprint
from keras_robust.planning.plan import Plan
from keras_robust.planning.plan_files import cases_folder
from keras_robust.planning.preprocessing import PreprocessedCase, labels_by, preprocess
from keras_robust.training.choosing import choose_annotators, chosen_cases, refuse_noise_on_shares
from keras_robust.training.config import TrainConfig
from keras_robust.training.patches.previous import PreviousStage

__all__ = ["PatchSource", "PlannedCases", "prepare_cases"]


class PatchSource(Protocol):
    """What patches are drawn from; see `PreprocessedCase`."""

    @property
    def id(self) -> str: ...

    @property
    def image(self) -> Any: ...

    @property
    def labels(self) -> Any: ...

    @property
    def locations(self) -> Mapping[int, NDArray[np.int32]]: ...

    @property
    def sizes(self) -> Mapping[int, int]: ...

    @property
    def annotated(self) -> NDArray[np.int32] | None: ...

    @property
    def previous(self) -> Any: ...


@dataclass(frozen=True)
class InMemory:
    """A preprocessed case that is read once, when it is first needed."""

    case: PreprocessedCase

    @property
    def id(self) -> str:
        return self.case.id

    @cached_property
    def image(self) -> NDArray[np.float32]:
        return self.case.image[:]

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        return self.case.labels[:]

    @cached_property
    def locations(self) -> Mapping[int, NDArray[np.int32]]:
        return self.case.locations

    @cached_property
    def sizes(self) -> Mapping[int, int]:
        return self.case.sizes

    @cached_property
    def annotated(self) -> NDArray[np.int32] | None:
        return self.case.annotated

    @cached_property
    def previous(self) -> NDArray[np.uint8] | None:
        return None if self.case.predicted is None else self.case.previous[:]


@dataclass(frozen=True)
class PlannedCases:
    """What a planned run sees.

    Args:
        train: To draw training patches from, with the masks to train on.
        validation: The held-out images of a fold, with masks of the same annotator; empty for
            none.
        chosen: The training images as they are stored.
        test: Test images with the masks to evaluate against; `None` for none.
        kinds: Kind of noise of each training mask, `"clean"` for none.
    """

    train: Sequence[PatchSource]
    validation: Sequence[PatchSource]
    chosen: Dataset
    test: Dataset | None
    kinds: Sequence[str]


def prepare_cases(
    dataset: Dataset,
    config: TrainConfig,
    plan: Plan,
    fingerprint: Fingerprint,
    folder: Path,
    progress: Progress,
    previous: PreviousStage | None = None,
) -> PlannedCases:
    """Choose the cases of a run, preprocess those that are not yet, and corrupt training masks.

    Args:
        dataset: To train on.
        config: Of the run, with a plan.
        plan: As the run uses it.
        fingerprint: Of the plan.
        folder: Of the run: noisy masks and their log go there.
        progress: Called with (done, total).
        previous: Of a cascade, the networks of the stage before.

    Raises:
        ValueError: The data set is another than that of the plan; see also `preprocess`.
    """
    if dataset.classes != fingerprint.classes:
        raise invalid(
            "plan.folder",
            f"a plan for {dataset.classes} classes, as data.path has",
            said=f"one for {fingerprint.classes}",
            remedy="Plan again.",
        )
    options = config.plan
    if options is None:
        raise invalid("config", "a plan", said="none")
    annotator, clean = choose_annotators(dataset, config.data)
    refuse_noise_on_shares(dataset, config, annotator)
    if plan.regions and dataset.classes == 2 and annotator in dataset.soft_annotators:
        raise invalid(
            "plan.regions",
            ("False with the soft masks of one class, which is all that a region could hold"),
            said=f"plan.regions=True, annotator={annotator!r}",
            remedy="Leave plan.regions out.",
        )
    chosen, test = chosen_cases(dataset, config.data, annotator, clean)
    cases = cases_folder(options.folder, plan)
    train: list[PreprocessedCase] = preprocess(chosen, plan, fingerprint, cases, progress)
    held_out: list[PreprocessedCase] = []
    if config.data.fold is not None and test is not None and options.validation_steps:
        within = dataset.select(annotator=annotator).select(ids=test.ids)
        held_out = preprocess(within, plan, fingerprint, cases, progress)
        if previous is not None:
            held_out = _predicted(held_out, within, plan, previous, options.folder, progress)
    if previous is not None:
        previous.require_all(chosen)
        train = _predicted(train, chosen, plan, previous, options.folder, progress)
    kinds = ["clean"] * len(train)
    if config.noise is not None:
        train, kinds = _corrupt(train, config, dataset, folder, progress)
    in_memory = config.data.cache == "memory"
    return PlannedCases(
        train=[InMemory(case) for case in train] if in_memory else train,
        validation=[InMemory(case) for case in held_out] if in_memory else held_out,
        chosen=chosen,
        test=test,
        kinds=kinds,
    )


def _predicted(
    cases: list[PreprocessedCase],
    dataset: Dataset,
    plan: Plan,
    previous: PreviousStage,
    folder: Path,
    progress: Progress,
) -> list[PreprocessedCase]:
    """The cases with what the previous stage predicts of them, which is kept beside the plan."""
    found, key = [], previous.key[:16]
    for done, (stored, case) in enumerate(zip(cases, dataset, strict=True), start=1):
        name = f"{case.id}-{sha256(*case.channels)[:16]}.b2nd"

        def labels(stored: PreprocessedCase = stored, case: Case = case) -> NDArray[np.uint8]:
            return labels_by(previous.of_case(case), plan, stored.geometry)

        found.append(stored.with_previous(folder / "previous" / key / name, labels))
        progress(done, len(cases))
    return found


def _corrupt(
    cases: list[PreprocessedCase],
    config: TrainConfig,
    dataset: Dataset,
    folder: Path,
    progress: Progress,
) -> tuple[list[PreprocessedCase], list[str]]:
    """The cases with noisy masks, corrupted at the resolution of the plan."""
    noise = LabelNoise(**config.noise.model_dump())  # type: ignore[union-attr]
    kinds = noise.plan([case.id for case in cases])
    of = {case.id: case for case in cases}

    def known(id: str) -> np.ndarray:
        return set_aside_ignored(of[id].labels[:], dataset.ignore_label)[0]

    check_possible(noise, kinds, known)
    corrupted, log = [], []
    for done, case in enumerate(cases, start=1):
        mask, put_back = set_aside_ignored(case.labels[:], dataset.ignore_label)
        noisy, corruption = corrupt_planned(noise, mask, case.id, kinds[case.id], known)
        labels = put_back(noisy)
        corrupted.append(case.relabelled(folder / "noisy_masks", labels, dataset))
        log.append(corruption)
        progress(done, len(cases))
    write_log(folder / "noise.jsonl", log)
    return corrupted, [corruption.kind for corruption in log]
