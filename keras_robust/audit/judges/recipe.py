"""How the models of an audit train where nobody says otherwise: small, quick, and well enough.

Volumes are learned in patches by a plan, and so are images that are larger than the network's
input, where their objects fit a patch; others whole, at their own size.
"""

from collections.abc import Mapping, Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from keras_robust.audit.inputs import AuditInputs
from keras_robust.audit.options import AuditOptions
from keras_robust.common.errors import invalid
from keras_robust.common.files import atomic_write_text
from keras_robust.common.progress import Progress
from keras_robust.data import Case
from keras_robust.data.files.images import image_shape
from keras_robust.data.files.volume_header import is_volume
from keras_robust.planning.fingerprint import fingerprint
from keras_robust.planning.plan import Plan, make_plan
from keras_robust.planning.plan_files import load_plan
from keras_robust.scheduling.scheduler import complete_config

__all__ = ["judge_config", "steps_of", "with_plan", "with_steps"]

WHOLE = 256  # longest side of images that are learned whole
PATCH = {2: 192, 3: 48}
BATCH = {2: 4, 3: 2}
MOST_VOXELS = 96  # along an axis of volumes that are learned whole, where no size is given
SMALL = 160**2  # pixels up to which a processor trains twice the features
LOOKED_AT = 60  # images whose size and objects stand for all
IN_MEMORY = 2**30  # bytes of images of 8 bits that are kept
EPOCHS = 20  # that steps are divided in: a checkpoint and a sign of progress after each
# What an audit has no use for, and what decides on which images are trained on.
_FIXED = {"save_predictions": 0, "evaluate_last": 1, "evaluate_every": 1, "tensorboard": False}


def judge_config(inputs: AuditInputs, asked: AuditOptions) -> dict[str, Any]:
    """The configuration that all folds share, every field included, but for what a plan and the
    time that steps take decide.

    Args:
        inputs: What is judged and trained on.
        asked: Fields of `TrainConfig` in `training`, but for the dataset, annotators, splits and
            folds. With `size`, or a size or network in `training`, images are learned whole.

    Raises:
        ValueError: Fields that an audit sets by itself, or that do not fit.
    """
    given: Mapping[str, Any] = asked.fields
    data = {
        "path": str(inputs.dataset.root.resolve()),
        "annotator": inputs.trained_on,
        # The audit must not look at other masks than those it trains on.
        "clean_annotator": inputs.trained_on,
        "train_split": asked.split,
        "test_split": None,
        # Then test.csv of a run names all that it has not seen.
        "test_limit": None,
    }
    of_data = given.get("data") or {}
    clash = [f"data.{name}" for name in of_data if name in (*data, "fold")]
    clash += [name for name in given if name in _FIXED]
    clash += ["plan.folder"] if "folder" in (given.get("plan") or {}) else []
    if clash:
        raise invalid(
            "training",
            "fields that an audit leaves open, such as batch_size or data.size",
            said=f"{', '.join(clash)}, which it sets by itself",
        )
    defaults = _defaults(inputs, given)
    merged = _merged(defaults, given)
    merged["data"] = {**(merged.get("data") or {}), **data}
    config = complete_config({**merged, **_FIXED})
    # Dice on the training images is not looked at: once, at the end, is the least.
    return config | {"evaluate_every": config["epochs"]}


def _defaults(inputs: AuditInputs, given: Mapping[str, Any]) -> dict[str, Any]:
    cases = _some(inputs.dataset.cases)
    shape = _typical_shape(cases)
    whole = "size" in (given.get("data") or {}) or "model" in given
    if not (whole and "plan" not in given) and (len(shape) == 3 or "plan" in given):
        return {"plan": _plan_defaults(len(shape))}
    if not whole and max(shape) > WHOLE and _objects_fit(inputs, cases, PATCH[2]):
        return {"plan": _plan_defaults(2)}
    most, unit = (MOST_VOXELS, 8) if len(shape) == 3 else (WHOLE, 16)
    scale = 1.0 if len(shape) == 3 else min(1.0, most / max(shape))
    size = [min(most, unit * ceil(length * scale / unit)) for length in shape]
    defaults: dict[str, Any] = {"data": {"size": size}, "batch_size": BATCH[len(shape)]}
    if not whole:
        features = 16 if prod(size) <= SMALL else 8
        defaults["model"] = {"features": features, "max_features": 8 * features}
        kept = len(inputs.dataset.ids) * prod(size) * 4 <= IN_MEMORY
        defaults["data"]["cache"] = "memory" if kept else "none"
    return defaults


def _plan_defaults(axes: int) -> dict[str, Any]:
    return {
        "folder": "plan",  # see `with_plan`
        "batch_size": BATCH[axes],
        "features": 16 if axes == 2 else 8,
        "validation_steps": 0,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        # Mirrored volumes hide which side is which, and take eight times as long to predict.
        "mirror_axes": [] if axes == 3 else None,
    }


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **given}
    for section in ("data", "plan", "model"):
        if section in defaults and isinstance(given.get(section), Mapping):
            merged[section] = {**defaults[section], **given[section]}
    return merged


def _some(cases: Sequence[Case]) -> list[Case]:
    chosen = np.linspace(0, len(cases) - 1, min(len(cases), LOOKED_AT)).astype(int)
    return [cases[index] for index in chosen]


def _typical_shape(cases: Sequence[Case]) -> tuple[int, ...]:
    """Median shape of the volumes of a dataset, or of its pictures."""
    paths = [case.image for case in cases]
    volumes = [path for path in paths if is_volume(path)]
    shapes = [image_shape(path) for path in volumes or paths]
    return tuple(int(length) for length in np.median(shapes, axis=0))


def _objects_fit(inputs: AuditInputs, cases: Sequence[Case], patch: int) -> bool:
    """Whether most objects are seen whole, with what is around them, in a patch."""
    extents = []
    for case in cases:
        if case.annotator != inputs.trained_on:
            continue
        labels, _ = ndimage.label(inputs.dataset.read_mask(case) > 0)
        boxes = ndimage.find_objects(labels)
        if boxes:
            extents.append(max(side.stop - side.start for box in boxes for side in box))
    return not extents or float(np.median(extents)) <= patch / 2


def with_plan(
    config: Mapping[str, Any],
    inputs: AuditInputs,
    folder: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """A configuration by a plan with that plan, which is made where it is not there yet.

    Args:
        config: See `judge_config`; one without a plan comes back as it is.
        inputs: What is trained on.
        folder: Of the plan.
        progress: Called as `progress(done, total)`.
    """
    if not config["plan"]:
        return dict(config)
    try:
        plan, _ = load_plan(folder)
    except FileNotFoundError:
        facts = fingerprint(inputs.dataset.select(annotator=inputs.trained_on), progress)
        plan = make_plan(facts)
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write_text(folder / "fingerprint.json", facts.model_dump_json(indent=2) + "\n")
        atomic_write_text(folder / "plan.json", plan.to_json())
    patch = config["plan"]["patch_size"] or _small_patch(plan)
    return {
        **config,
        "plan": {**config["plan"], "folder": str(folder.resolve()), "patch_size": list(patch)},
    }


def _small_patch(plan: Plan) -> tuple[int, ...]:
    most = PATCH[len(plan.patch_size)]
    return tuple(min(length, most) for length in plan.patch_size)


def with_steps(config: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """A configuration of so many steps, or a few more, in epochs of one length.

    >>> with_steps({"plan": None}, 990)["steps_per_epoch"]
    50
    """
    epochs = min(EPOCHS, steps)
    length = ceil(steps / epochs)
    changed = {**config, "epochs": epochs, "evaluate_every": epochs}
    if config["plan"]:
        return changed | {"plan": {**config["plan"], "steps_per_epoch": length}}
    return changed | {"steps_per_epoch": length}


def steps_of(config: Mapping[str, Any], images: int) -> int:
    """Steps of a run on so many images."""
    if config["plan"]:
        return config["epochs"] * config["plan"]["steps_per_epoch"]
    length = config["steps_per_epoch"] or max(images // config["batch_size"], 1)
    return config["epochs"] * length
