"""The plan of a run: what the planner wrote, with what the configuration changes in it."""

import os
from math import prod

from keras_robust.common.errors import invalid
from keras_robust.data.regions import Regions
from keras_robust.models.topology import plan_topology
from keras_robust.planning.plan import Plan
from keras_robust.training.config import PlanConfig

__all__ = ["planned"]


def planned(plan: Plan, config: PlanConfig, regions: Regions = ()) -> Plan:
    """The plan with the patch, the batch size and the features of a configuration.

    Args:
        plan: As it was written.
        config: Of the run.
        regions: Of the data set, for a configuration that learns them.

    Raises:
        ValueError: A patch of another number of axes, an axis to mirror along that is not there,
            no regions to learn, features that networks do not have, or a batch whose first
            feature map alone is larger than the memory of this machine.

    >>> from keras_robust.data import sample
    >>> from keras_robust.planning.fingerprint import fingerprint
    >>> from keras_robust.planning import make_plan
    >>> plan = make_plan(fingerprint(sample().select(ids=sample().ids[:2])))
    >>> smaller = planned(plan, PlanConfig(folder="plan", patch_size=(60, 64), features=8))
    >>> smaller.patch_size, smaller.features
    ((64, 64), (8, 16, 32, 64, 128))
    """
    mirrored = config.mirror_axes or ()
    if not all(0 <= axis < len(plan.patch_size) for axis in mirrored):
        raise invalid(
            "plan.mirror_axes",
            f"axes from 0 to {len(plan.patch_size) - 1}",
            said=f"plan.mirror_axes={mirrored}",
        )
    if config.regions and not regions:
        raise invalid(
            "plan.regions",
            "False for a data set without `regions_class_order`",
            said="plan.regions=True",
            remedy=(
                'Name the regions in dataset.json, as in "labels": {"background": 0, '
                '"organ": [1, 2], "lesion": 2}, and what to paint where each is '
                'predicted: "regions_class_order": [1, 2].'
            ),
        )
    changes: dict[str, object] = {"regions": regions if config.regions else ()}
    if config.patch_size is not None:
        if len(config.patch_size) != len(plan.patch_size) or min(config.patch_size) < 1:
            raise invalid(
                "plan.patch_size",
                f"{len(plan.patch_size)} positive sizes, as planned",
                said=f"plan.patch_size={config.patch_size}",
            )
        network = plan_topology(plan.spacing_mm, config.patch_size)
        changes |= {
            "patch_size": network.patch,
            "strides": network.strides,
            "kernels": network.kernels,
        }
    if plan.features != _doubled(plan.features[0], plan.features, len(plan.features)):
        raise invalid(
            "plan.features",
            "of each stage twice those of the one before, or the most that any has",
            said=f"plan.features={plan.features}",
        )
    stages = len(changes.get("kernels", plan.kernels))  # type: ignore[arg-type]
    first = config.features or plan.features[0]
    changes["features"] = _doubled(first, plan.features, stages)
    if config.batch_size is not None:
        changes["batch_size"] = config.batch_size
    changed = plan.model_copy(update=changes)
    _check_memory(changed)
    return changed


def _check_memory(plan: Plan) -> None:
    """Before any is taken: a system that lends more than it has would stop for want of it later."""
    least = plan.batch_size * prod(plan.patch_size) * plan.features[0] * 2  # bytes of a half float
    has = _machine_memory()
    if has and least > has:
        raise invalid(
            "plan.patch_size",
            f"batches that fit the memory of this machine, {has / 2**30:.0f} GiB",
            said=(
                f"{plan.batch_size} patches of {plan.patch_size}, whose first "
                f"feature map takes {least / 2**30:.3g} GiB even in half precision"
            ),
            remedy="Set smaller plan.patch_size, plan.batch_size or plan.features.",
        )


def _machine_memory() -> int | None:
    """In bytes; `None` where the system does not say, as Windows."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _doubled(first: int, features: tuple[int, ...], stages: int) -> tuple[int, ...]:
    return tuple(min(first * 2**stage, max(features)) for stage in range(stages))
