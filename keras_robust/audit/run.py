"""Finding the masks of a dataset that are wrong, by a model that has not seen them."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import keras_robust
from keras_robust.audit.findings import Finding, findings_of_masks, findings_of_scores
from keras_robust.audit.folder import (
    INFO,
    PREDICTIONS,
    SPREAD,
    TABLE,
    Audit,
    AuditCase,
    error_map_folder,
    read_audit,
    write_cases,
)
from keras_robust.audit.habits import habits, sentences, write_habits
from keras_robust.audit.inputs import (
    AuditInputs,
    check_files,
    choose_inputs,
    file_hashes,
    require_same,
)
from keras_robust.audit.judges import judge_config
from keras_robust.audit.options import AuditOptions
from keras_robust.audit.places import PLACES, located, write_places
from keras_robust.audit.sources import Folds, Given, choose_source
from keras_robust.audit.truth import DETECTION, TRUTH, Truth, check_truth, compare_with_truth
from keras_robust.common.artefacts import ARTEFACTS, damages, describe
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_json, locked
from keras_robust.common.hashes import sha256_if_there
from keras_robust.common.opening import read_json
from keras_robust.common.progress import StageProgress
from keras_robust.data import Case, Dataset
from keras_robust.data.files.maps import has_map, read_map, write_map
from keras_robust.data.parts import WHOLE
from keras_robust.suspicion.error_map import error_map
from keras_robust.suspicion.judged import Judged
from keras_robust.suspicion.learned.trust import Trust
from keras_robust.suspicion.scores import SCORES, Suspicion, judge_masks, score_masks


def audit(
    dataset: str | Path,
    output: str | Path,
    options: AuditOptions | None = None,
    *,
    progress: StageProgress | None = None,
    say: Callable[[str], None] | None = None,
    **changes: Any,
) -> Audit:
    """Give every mask of a dataset a suspicion score, and every pixel of it an error probability.

    Every image is predicted by a model that has not seen it: K-fold cross-validation with a
    robust loss, or predictions that are there already. The output folder holds audit.csv, error
    maps, predictions, the run folders of the folds and report.html; see `Audit`.

    An audit that was interrupted continues when called again with the same arguments. `scores`,
    `truth` and `wrong_below` may change: what was trained and predicted is kept.

    Args:
        dataset: Dataset folder.
        output: Folder of the audit, made when missing.
        options: What is asked; by default those of `AuditOptions`.
        progress: Called as `progress(stage, done, total)`: stages `"files"`, `"training"` (in
            epochs of all folds), `"predicting"`, `"error maps"`, `"scoring"` and `"truth"`; of
            folds by a plan also `"plan"`.
        say: Called with a sentence on the time that training will take, before it begins.
        changes: Fields of `AuditOptions`, over those of `options`.

    Returns:
        The audit, as `keras_robust.audit.read_audit` reads it.

    Raises:
        FileNotFoundError: There is no dataset, or a prediction is missing.
        ValueError: An argument does not fit; `output` holds an audit of other files or settings;
            an image or mask cannot be read; training failed.
        BlockingIOError: Another process works in `output`.
        KeyboardInterrupt: Ctrl-C; the same call again continues.
    """
    asked = replace(options or AuditOptions(), part=WHOLE, **changes)
    output = Path(output)
    opened = Dataset.open(dataset)
    inputs = choose_inputs(opened, asked.annotators, asked.train_on, asked.split)
    for name in asked.scores or ():
        SCORES.find(name, "score")
    if asked.truth is not None:
        check_truth(opened, inputs.judged, asked.truth, asked.wrong_below)
    source = choose_source(asked, inputs)
    ranking = _checked_scores(asked.scores)
    tell = progress or (lambda stage, done, total: None)
    with _claimed(output):
        info = _begin(output, inputs, asked.split, source, tell)
        if "findings" not in info:
            of_masks = findings_of_masks(inputs, lambda done, n: tell("files", done, n))
            info["findings"] = [one.as_json() for one in of_masks]
            atomic_write_json(output / INFO, info)
        source.predict(inputs, output, tell, say or (lambda text: None))
        _write_error_maps(inputs, output, tell)
        if not _is_scored(output, info, ranking):
            info |= {"status": "scoring", "scores": ranking, "ranked_by": next(iter(ranking))}
            atomic_write_json(output / INFO, info)
            _judge(inputs, output, ranking, info, tell)
            info |= {"status": "finished", "finished": _now()}
            info[ARTEFACTS] = describe(output, [TABLE, PLACES])
            atomic_write_json(output / INFO, info)
        from keras_robust.audit.report import write_audit_report  # slow to import

        result = read_audit(output)
        compared = _compared(result, opened, asked, tell)
        write_audit_report(result, opened, compared)
    return result


def train_part(
    dataset: str | Path,
    output: str | Path,
    options: AuditOptions | None = None,
    *,
    progress: StageProgress | None = None,
    say: Callable[[str], None] | None = None,
    **changes: Any,
) -> int:
    """Train a part of the folds of an audit: on each of several machines that see its folder.

    Arguments are as of `audit`, and `part` says which. Once all parts are done, on whichever
    machines, `audit` with the same arguments finds all folds trained.

    Returns:
        The number of models that are trained.

    Raises:
        ValueError: As `audit`; or the audit takes `predictions`, with nothing to train.
    """
    asked = replace(options or AuditOptions(), **changes)
    output = Path(output)
    if asked.prediction_folders:
        raise invalid("part", "none with predictions that are there already", said=str(asked.part))
    inputs = choose_inputs(Dataset.open(dataset), asked.annotators, asked.train_on, asked.split)
    source = Folds(judge_config(inputs, asked), asked)
    tell = progress or (lambda stage, done, total: None)
    # Plan and steps are chosen by whoever comes first.
    with _claimed(output, wait=True):
        _begin(output, inputs, asked.split, source, tell)
        config = source.complete(inputs, output, tell, say or (lambda text: None))
    return sum(map(len, source.train(config, output, tell)))


def _compared(
    result: Audit, opened: Dataset, asked: AuditOptions, tell: StageProgress
) -> Truth | None:
    """The audit against the truth, written beside it; what an earlier call wrote goes."""
    if asked.truth is None:
        for name in (TRUTH, DETECTION):
            (result.folder / name).unlink(missing_ok=True)
        return None
    compared = compare_with_truth(
        result, opened, asked.truth, asked.wrong_below, lambda done, n: tell("truth", done, n)
    )
    compared.write(result.folder)
    return compared


def _begin(
    output: Path,
    inputs: AuditInputs,
    split: str | None,
    source: Folds | Given,
    tell: StageProgress,
) -> dict[str, Any]:
    """The content of audit.json: that of an audit to continue, or of a new one."""
    settings = {
        "dataset": str(inputs.dataset.root.resolve()),
        "annotators": list(inputs.judged),
        "trained_on": inputs.trained_on,
        "split": split,
        **source.settings,
    }
    # As JSON has it, without tuples.
    settings = json.loads(json.dumps(settings))
    stored = _read_info(output / INFO)
    if stored is None:
        if output.is_dir() and any(path.name[0] != "." for path in output.iterdir()):
            raise invalid(
                "output",
                "a new folder, or that of an audit to continue",
                said=f"{str(output)!r}, which holds other files",
                remedy="Name another (--output).",
            )
        source.check(inputs)
        check_files(inputs.dataset, lambda done, total: tell("files", done, total))
    hashes = file_hashes(inputs.dataset, source.files)
    if stored is not None:
        require_same(output, settings, stored, hashes)
        if stored["settings"] != settings:  # the folders: what lies in them is the same
            stored |= {"settings": settings, "dataset": settings["dataset"]}
            atomic_write_json(output / INFO, stored)
        return stored
    info = {
        "status": "predicting",
        "dataset": settings["dataset"],
        "name": inputs.dataset.name,
        "annotators": settings["annotators"],
        "classes": inputs.dataset.classes,
        "class_names": list(inputs.dataset.class_names),
        "ignore_label": inputs.dataset.ignore_label,
        "masks": len(inputs.cases),
        "settings": settings,
        "versions": {"keras_robust": keras_robust.__version__, "numpy": np.__version__},
        "started": _now(),
    }
    atomic_write_json(output / INFO, info)
    require_same(output, settings, info, hashes)
    return info


def _is_scored(output: Path, info: Mapping[str, Any], ranking: Mapping[str, str]) -> bool:
    """Whether the table is there, whole, and by the same scores."""
    finished = info["status"] == "finished" and (output / TABLE).is_file()
    whole = finished and not any(damages(output, info, ""))
    return whole and list(info["scores"]) == list(ranking)


def _judge(
    inputs: AuditInputs,
    output: Path,
    ranking: Mapping[str, str],
    info: dict[str, Any],
    tell: StageProgress,
) -> None:
    """Write the tables of the masks, and into `info` what they add up to."""
    scored, trust = _score(inputs, output, ranking, tell)
    cases = [_row(rank, case, one, ranking) for rank, (case, one) in enumerate(scored, start=1)]
    write_cases(output, cases, info["ranked_by"])
    write_places(output, ((case.id, case.annotator, case.places) for case in cases))
    known = [one for one in map(Finding.from_json, info["findings"]) if one.source == "masks"]
    found = findings_of_scores(((case, one.kind, one.fit) for case, one in scored), known)
    drawn = habits(cases, inputs.cases)
    write_habits(output, drawn)
    info |= {
        "masks": len(cases),
        "findings": [one.as_json() for one in (*known, *found)],
        "habits": list(sentences(drawn)),
        "trust": trust.to_json() | {"sentences": trust.sentences(inputs.dataset.class_names)},
    }


def _score(
    inputs: AuditInputs, output: Path, ranking: Mapping[str, str], tell: StageProgress
) -> tuple[list[tuple[Case, Suspicion]], Trust]:
    """All masks with their scores, most suspicious first, and how far to trust these."""
    cases = _Cases(inputs, output)
    dataset = inputs.dataset
    found = judge_masks(
        lambda: cases,
        classes=dataset.classes,
        scores=list(ranking),
        ignore_label=dataset.ignore_label,
        progress=lambda done, total: tell("scoring", done, total),
    )
    main = next(iter(ranking))
    both = zip(inputs.cases, found.masks, strict=True)
    # Equal scores in the order of the dataset, so that the ranks are the same every time.
    return sorted(both, key=lambda pair: -pair[1].scores[main]), found.trust


def _row(rank: int, case: Case, suspicion: Suspicion, ranking: Mapping[str, str]) -> AuditCase:
    scores = {name: suspicion.scores[name] for name in ranking}
    return AuditCase(
        rank,
        case.id,
        case.annotator,
        next(iter(scores.values())),
        suspicion.kind,
        scores,
        suspicion.classes,
        "mm" if case.spacing else "px",
        sha256_if_there(case.mask) or "",
        tuple(located(place, case) for place in suspicion.places),
        suspicion.p_wrong,
    )


def _write_error_maps(inputs: AuditInputs, output: Path, tell: StageProgress) -> None:
    dataset, cases = inputs.dataset, inputs.cases
    judged = _Cases(inputs, output)
    for number, case in enumerate(cases, start=1):
        folder = error_map_folder(output, case.annotator)
        if not has_map(folder, case.id):
            one = judged.read(case)
            wrong = error_map(
                one.labels,
                one.probabilities,
                classes=dataset.classes,
                ignore_label=dataset.ignore_label,
            )
            write_map(folder, case.id, wrong[..., np.newaxis], like=case.image)
        tell("error maps", number, len(cases))


class _Cases:
    """The judged masks with their predictions, one in memory at a time."""

    def __init__(self, inputs: AuditInputs, output: Path):
        self.inputs, self.folder, self.spread = inputs, output / PREDICTIONS, output / SPREAD

    def read(self, case: Case) -> Judged:
        dataset = self.inputs.dataset
        probabilities = read_map(self.folder, case.id, self.inputs.channels)
        spread = read_map(self.spread, case.id)[..., 0] if has_map(self.spread, case.id) else None
        return Judged(case.id, dataset.read_mask(case), probabilities, case.spacing, spread)

    def __iter__(self) -> Iterator[Judged]:
        return map(self.read, self.inputs.cases)

    def __len__(self) -> int:
        return len(self.inputs.cases)


def _checked_scores(scores: Sequence[str] | None) -> dict[str, str]:
    """Names and descriptions, the one that ranks first; checked before hours of training."""
    tiny = Judged("", np.eye(4, dtype=np.uint8), np.full((4, 4, 1), 0.5))
    try:
        (found,) = score_masks(lambda: [tiny], scores=scores)
    except ImportError as error:
        raise ValueError(str(error)) from error
    names = list(found.scores) if scores is None else list(dict.fromkeys(scores))
    return {name: SCORES.words(name) for name in names}


def _read_info(path: Path) -> dict[str, Any] | None:
    try:
        info = read_json(path, dict)
        return info if isinstance(info["settings"], dict) else None
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as reason:
        raise invalid(
            "output",
            "a new folder, or that of an audit to continue",
            said=f"{str(path.parent)!r}, whose {path.name} is damaged ({reason})",
            remedy="Name another (--output), or remove this one.",
        ) from reason


@contextmanager
def _claimed(output: Path, wait: bool = False) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(output / ".audit.lock", wait=wait))
        except BlockingIOError:
            raise BlockingIOError(
                f"Another process audits into {str(output)!r}. Wait until it ends, or name another "
                "folder (--output)."
            ) from None
        yield


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
