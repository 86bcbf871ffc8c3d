"""Which masks of a dataset are corrupted, how, and by how much."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from .affine import choose_affine
from .corruption import Corruption
from .draws import generator_of, unit_vector
from .many import Progress, corrupt_all, each_once, unchanged_note
from .morphology import check_beta, dilate_object, erode_object
from .reference import DIRECTIONS, choose_reference_step, reference_affine_object, reference_draws
from .structures import map_structures

KINDS = ("dilate", "erode", "affine")
MODES = ("unbiased", "reference")


class Kind(str):
    """A kind of corruption as planned: the text, and what the reference generator drew with it."""

    angle: float | None = None
    direction: tuple[int, int] | None = None


@dataclass(frozen=True)
class LabelNoise:
    r"""Simulated annotation errors: a fraction `alpha` of the masks, each changed by about `beta`.

    Each noisy mask is dilated, eroded or moved (rotated by :math:`U(-a, a)` and shifted), one kind
    drawn uniformly from `kinds`, until its area has changed by `beta` times the area of the
    structure. The Dice against the clean mask is about :math:`2/(2+\beta)` for dilation,
    :math:`2(1-\beta)/(2-\beta)` for erosion and :math:`1-\beta/2` for affine noise: erosion is by
    far the harshest.

    In mode "unbiased" an image is chosen by its id and the seed: exactly ``int(N * alpha)`` images
    are noisy, those of a smaller alpha are among those of a larger one with the same kind, and the
    noise of an image depends on nothing but (seed, id, kind, mask). Objects rotate about their own
    centroid and shift in a uniformly random direction.

    Mode "reference" repeats the generator published by Li et al. that the T-Loss paper uses, its
    order of draws and its biases included (see `keras_robust.noise.reference`); ids must be the
    names of the mask files without ``.png``.

    Args:
        alpha: fraction of masks to corrupt, in [0, 1].
        beta: relative change of area asked for, >= 0.
        seed: integer >= 0.
        kinds: subset of ("dilate", "erode", "affine").
        mode: "unbiased" or "reference".
        max_angle: largest rotation of affine noise in degrees, in [0, 180].

    Raises:
        ValueError: an argument is out of range.

    Reference:
        Li, Gao and He, Superpixel-guided iterative learning from noisy labels for medical image
        segmentation, MICCAI 2021; Gonzalez-Jimenez et al., Robust T-Loss, MICCAI 2023, section 3.1.

    >>> import numpy as np
    >>> mask = np.zeros((32, 32), np.uint8)
    >>> mask[8:24, 8:24] = 1
    >>> noise = LabelNoise(alpha=0.5, beta=0.7, seed=0)
    >>> noisy, log = noise.apply([mask, mask], ids=["a", "b"])
    >>> sorted(done.kind == "clean" for done in log)
    [False, True]
    >>> all((done.apply(mask) == out).all() for done, out in zip(log, noisy))
    True
    """

    alpha: float
    beta: float
    seed: int = 0
    kinds: tuple[str, ...] = KINDS
    mode: str = "unbiased"
    max_angle: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(self.kinds))
        check_beta(self.beta)
        for name, good, expected in (
            ("alpha", 0 <= self.alpha <= 1, "0 <= alpha <= 1, the fraction of noisy masks"),
            ("seed", isinstance(self.seed, Integral) and self.seed >= 0, "an integer >= 0"),
            ("mode", self.mode in MODES, f"one of {MODES}"),
            ("max_angle", 0 <= self.max_angle <= 180, "degrees between 0 and 180"),
            (
                "kinds",
                len(self.kinds) == len(set(self.kinds) & set(KINDS)) > 0,
                f"one or more of {KINDS}, each once",
            ),
        ):
            if not good:
                raise ValueError(
                    f"Invalid value for argument `{name}`. Expected {expected}. "
                    f"Received: {name}={getattr(self, name)!r}."
                )
        object.__setattr__(self, "seed", int(self.seed))

    def plan(self, ids: Iterable[str]) -> dict[str, Kind]:
        """Kind of every id ("clean" for those left alone), in the order of `ids`.

        The order of `ids` changes nothing else. Pass the whole dataset: the fraction is taken of
        what is passed.

        Raises:
            ValueError: an id occurs twice.

        >>> plan = LabelNoise(alpha=0.5, beta=0.7).plan(["a", "b", "c", "d"])
        >>> sum(kind != "clean" for kind in plan.values())
        2
        """
        ids = each_once(ids)
        if self.mode == "reference":
            plan = self._reference_plan(ids)
            return {id: plan[id] for id in ids}
        ranked = sorted(ids, key=lambda id: _digest(self.seed, id))
        noisy = set(ranked[: int(len(ids) * self.alpha)])
        return {id: self._kind(id) if id in noisy else Kind("clean") for id in ids}

    def corrupt(self, mask: np.ndarray, id: str, kind: str) -> tuple[np.ndarray, Corruption]:
        """One corrupted mask and its line in the log; `mask` itself is never written to.

        Args:
            mask: labels, `(H, W)` or `(D, H, W)`, bool or integer; 0 is background.
            id: of the image.
            kind: from `plan`. In mode "reference" the plan's value carries the angle and direction
                of affine noise; a plain "affine" draws them from (seed, id).

        Returns:
            The noisy mask (shape and dtype of `mask`) and the `Corruption` that replays it.

        Raises:
            ValueError: `kind` is unknown or the mask has another rank or dtype.
        """
        if kind == "clean":
            return np.array(mask), Corruption(id, "clean")
        if kind not in KINDS:
            raise ValueError(
                f"Invalid value for argument `kind`. Expected 'clean' or one of {KINDS}. "
                f"Received: kind={kind!r}."
            )
        parameters: dict[str, dict[str, Any]] = {}
        unchanged: list[str] = []
        changed = total = 0
        dice: list[float] = []

        def operate(label: int, own: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
            nonlocal changed, total
            noisy, parameters[str(label)] = self._operate(id, kind, label, own, allowed)
            area, difference = int(np.count_nonzero(own)), int(np.count_nonzero(noisy != own))
            if difference == 0:
                unchanged.append(str(label))
            changed, total = changed + difference, total + area
            together = area + int(np.count_nonzero(noisy))
            dice.append((together - difference) / together)
            return noisy

        noisy = map_structures(mask, operate)
        return noisy, Corruption(
            id=id,
            kind=str(kind),
            parameters=parameters,
            asked=float(self.beta),
            reached=changed / total if total else 0.0,
            dice=float(np.mean(dice)) if dice else 1.0,
            note=unchanged_note(
                list(parameters), unchanged, f"no {kind} comes nearer to the change asked for"
            ),
        )

    def apply(
        self,
        masks: Sequence[np.ndarray] | np.ndarray,
        ids: Sequence[str],
        progress: Progress | None = None,
    ) -> tuple[Any, list[Corruption]]:
        """Corrupt a dataset in memory.

        Args:
            masks: one mask per id, or an array that stacks them along its first axis.
            ids: one per mask, each once.
            progress: called as ``progress(done, total)`` after every mask.

        Returns:
            The noisy masks (an array where `masks` is one, otherwise a list) and the log, in order.

        Raises:
            ValueError: `masks` and `ids` differ in length, or an id occurs twice.
        """
        return corrupt_all(self, masks, ids, progress)

    def _operate(
        self, id: str, kind: str, label: int, own: np.ndarray, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if kind == "dilate":
            noisy, iterations = dilate_object(own, allowed, self.beta)
            return noisy, {"iterations": iterations}
        if kind == "erode":
            noisy, iterations = erode_object(own, self.beta)
            return noisy, {"iterations": iterations}
        affine = self._reference_affine if self.mode == "reference" else self._unbiased_affine
        return affine(id, kind, label, own, allowed)

    def _unbiased_affine(
        self, id: str, kind: str, label: int, own: np.ndarray, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        # A binary mask is the same whether its foreground is stored as True, 1 or 255.
        generator = generator_of(self.seed, id, 1 if allowed is None else label)
        angle = float(generator.uniform(-self.max_angle, self.max_angle))
        direction = unit_vector(generator, own.ndim)
        axis = unit_vector(generator, 3).tolist() if own.ndim == 3 else None
        return choose_affine(own, allowed, self.beta, angle, direction, axis)

    def _reference_affine(
        self, id: str, kind: str, label: int, own: np.ndarray, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        if isinstance(kind, Kind) and kind.angle is not None and kind.direction is not None:
            angle, direction = kind.angle, kind.direction
        else:
            generator = generator_of(self.seed, id, 0)
            angle = float(generator.uniform(-self.max_angle, self.max_angle))
            direction = DIRECTIONS[int(generator.integers(len(DIRECTIONS)))]
        shift = choose_reference_step(own, self.beta, angle, direction)
        noisy = reference_affine_object(own, allowed, angle, shift)
        return noisy, {"angle": angle, "shift": shift}

    def _kind(self, id: str) -> Kind:
        # Stream 0; structures draw from the streams of their labels, which are positive.
        return Kind(self.kinds[int(generator_of(self.seed, id, 0).integers(len(self.kinds)))])

    def _reference_plan(self, ids: list[str]) -> dict[str, Kind]:
        plan = {}
        draws = reference_draws(ids, self.alpha, self.seed, self.kinds, self.max_angle)
        for id, (name, angle, direction) in draws.items():
            plan[id] = Kind(name)
            plan[id].angle, plan[id].direction = angle, direction
        return plan


def _digest(seed: int, id: str) -> bytes:
    return hashlib.sha256(f"{seed}:{id}".encode()).digest()
