"""Which masks of a dataset are corrupted, how, and by how much."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np

from keras_robust.common.errors import invalid
from keras_robust.common.progress import Progress

from .batch import corrupt_all, each_once, unchanged_note
from .catalogue import GROUPS, KINDS, expanded
from .corruption import Corruption
from .generators import generator_of
from .kinds import NOISES, Draw, Drawn, NoiseKind, NotHere, kind_named
from .measure import measure
from .morphology import check_beta
from .reference import DIRECTIONS, choose_reference_step, reference_affine_object, reference_draws
from .structures import check_mask, labels_of, map_structures, without_channel

MODES = ("unbiased", "reference")
WHOLE = (0, 1)  # stream of what is drawn for a mask as a whole; structures have their labels'


class Kind(str):
    """A kind of corruption as planned: the text, and what was drawn with it.

    Attributes:
        angle, direction: by the reference generator.
        others: the other kinds in the order drawn; the first that can be made in the mask takes
            the place of one that cannot.
        source: id of the case whose mask a kind that needs another one takes; empty without any.
    """

    angle: float | None = None
    direction: tuple[int, int] | None = None
    others: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True)
class LabelNoise:
    r"""Simulated annotation errors: a fraction `alpha` of the masks, each changed by about `beta`.

    By default each noisy mask is dilated, eroded or moved (rotated by :math:`U(-a, a)` and
    shifted), one kind drawn uniformly from `kinds`, until its area has changed by `beta` times the
    area of the structure. The Dice against the clean mask is about :math:`2/(2+\beta)` for
    dilation, :math:`2(1-\beta)/(2-\beta)` for erosion and :math:`1-\beta/2` for affine noise:
    erosion is by far the harshest.

    A second family, "mistakes", is of what people get wrong: parts, objects, outlines, slices,
    classes and files (see `keras_robust.noise.catalogue`). Those that have no amount, such as a
    mirrored mask, leave `beta` aside; the log says what was reached. A kind that cannot be made in
    a mask, such as missing slices in an image, gives its place to the next one drawn.

    In mode "unbiased" an image is chosen by its id and the seed: exactly ``int(N * alpha)`` images
    are noisy, those of a smaller alpha are among those of a larger one with the same kind, and the
    noise of an image depends on nothing but (seed, id, kind, mask), and that of another case's mask
    on that case. Objects rotate about their own centroid and shift in a uniformly random direction.

    Mode "reference" repeats the generator published by Li et al. that the T-Loss paper uses, its
    order of draws and its biases included (see `keras_robust.noise.reference`); ids must be the
    names of the mask files without ``.png``.

    Args:
        alpha: fraction of masks to corrupt, in [0, 1].
        beta: relative change of area asked for, >= 0.
        seed: integer >= 0.
        kinds: names of kinds, each once: ("dilate", "erode", "affine") by default. The names
            "shapes" (these), "mistakes" (the second family) and "all" stand for their members.
        mode: "unbiased" or "reference", which knows the three default kinds alone.
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
        object.__setattr__(self, "kinds", expanded(tuple(self.kinds)))
        check_beta(self.beta)
        for name, good, expected in (
            ("alpha", 0 <= self.alpha <= 1, "0 <= alpha <= 1, the fraction of noisy masks"),
            ("seed", isinstance(self.seed, Integral) and self.seed >= 0, "an integer >= 0"),
            ("mode", self.mode in MODES, f"one of {MODES}"),
            ("max_angle", 0 <= self.max_angle <= 180, "degrees between 0 and 180"),
        ):
            if not good:
                raise invalid(name, f"{expected}", said=f"{name}={getattr(self, name)!r}")
        known = KINDS if self.mode == "reference" else NOISES
        once = len(set(self.kinds)) == len(self.kinds) > 0
        if not (once and all(kind in known for kind in self.kinds)):
            expected = f"one or more of {(*known, *GROUPS)}, each once"
            raise invalid("kinds", expected, self.kinds, NOISES.remedy(*self.kinds))
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
        plan = {id: self._kind(id) if id in noisy else Kind("clean") for id in ids}
        if len(ranked) > 1 and any(kind_named(kind).takes_other for kind in self.kinds):
            # Neighbours in an order that only digests make: chance, whatever the order of ids.
            for id, source in zip(ranked, (*ranked[1:], ranked[0]), strict=True):
                plan[id].source = source
        return plan

    def corrupt(
        self,
        mask: np.ndarray,
        id: str,
        kind: str,
        other: Callable[[], np.ndarray] | None = None,
    ) -> tuple[np.ndarray, Corruption]:
        """One corrupted mask and its line in the log; `mask` itself is never written to.

        Args:
            mask: labels, `(H, W)` or `(D, H, W)`, bool or integer; 0 is background.
            id: of the image.
            kind: from `plan`, whose values carry the kinds that are made where this one cannot be
                and, in mode "reference", the angle and direction of affine noise. A plain text
                stands for itself alone; "affine" then draws both from (seed, id).
            other: gives the clean mask of the case that `plan` names as the `source` of the kind,
                for kinds that need one.

        Returns:
            The noisy mask (shape and dtype of `mask`) and the `Corruption` that replays it.

        Raises:
            ValueError: `kind` is unknown, a plain text that cannot be made in this mask, or the
                mask has another rank or dtype.

        >>> mask = np.zeros((32, 32), np.uint8)
        >>> mask[8:24, 8:24] = 1
        >>> cut, done = LabelNoise(alpha=1, beta=0.5).corrupt(mask, "a", "cut")
        >>> int(mask.sum()), int(cut.sum()), done.reached
        (256, 128, 0.5)
        """
        if kind == "clean":
            return np.array(mask), Corruption(id, "clean")
        planned = kind if isinstance(kind, Kind) else None
        kinds = [kind_named(name) for name in (kind, *(planned.others if planned else ()))]
        labels = labels_of(check_mask(mask))
        why = ""
        for one in kinds if labels else ():
            try:
                return self._make(one, mask, id, planned, other)
            except NotHere as error:
                why = why or str(error)
        if why and planned is None:
            raise invalid(
                "kind",
                f"a kind of error that can be made in the mask of {id!r}",
                said=f"kind={str(kind)!r}: {why}",
                remedy="Choose another kind.",
            )
        parameters = dict.fromkeys(map(str, labels))
        note = unchanged_note(list(parameters), list(parameters), why)
        return np.array(mask), Corruption(
            id, str(kind), parameters, asked=float(self.beta), note=note
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

    def _make(
        self,
        kind: NoiseKind,
        mask: np.ndarray,
        id: str,
        planned: Kind | None,
        other: Callable[[], np.ndarray] | None,
    ) -> tuple[np.ndarray, Corruption]:
        """One kind, made in a mask that is not empty.

        Raises:
            NotHere: it cannot be.
        """
        source = planned.source if planned else ""
        draw = Draw(self.beta, self.seed, id, WHOLE, self.max_angle, source, other)
        parameters: dict[str, Any] = dict.fromkeys(map(str, labels_of(mask)), {})
        whole: dict[str, Any] | None = None
        why: list[str] = []

        def operate(label: int, own: np.ndarray, allowed: np.ndarray | None) -> np.ndarray:
            try:
                # A binary mask is the same whether its foreground is stored as True, 1 or 255.
                own_draw = replace(draw, stream=(1 if allowed is None else label,))
                noisy, parameters[str(label)] = sample(own, allowed, own_draw)
                return noisy
            except NotHere as error:
                why.append(str(error))
                parameters[str(label)] = None
                return own.copy()

        def operate_whole(plain: np.ndarray) -> np.ndarray:
            nonlocal whole
            noisy, whole = kind.draw(plain, draw)
            return noisy

        sample: Callable[..., Drawn] = kind.draw
        if kind.name == "affine" and self.mode == "reference":
            sample = partial(self._reference_affine, id, planned)
        if kind.whole:
            noisy = without_channel(mask, operate_whole)
        else:
            noisy = map_structures(mask, operate)
        if len(why) == len(parameters):
            raise NotHere(why[0])
        reached, dice, same = measure(mask, noisy)
        unchanged = [label for label in parameters if int(label) in same]
        if kind.whole and reached:
            unchanged = []
        otherwise = f"no {kind.name} comes nearer to the change asked for"
        return noisy, Corruption(
            id=id,
            kind=kind.name,
            parameters=parameters,
            asked=float(self.beta),
            reached=reached,
            dice=dice,
            note=unchanged_note(list(parameters), unchanged, why[0] if why else otherwise),
            whole=whole,
        )

    def _reference_affine(
        self,
        id: str,
        planned: Kind | None,
        own: np.ndarray,
        allowed: np.ndarray | None,
        draw: Draw,
    ) -> Drawn:
        if planned and planned.angle is not None and planned.direction is not None:
            angle, direction = planned.angle, planned.direction
        else:
            generator = generator_of(self.seed, id, 0)
            angle = float(generator.uniform(-self.max_angle, self.max_angle))
            direction = DIRECTIONS[int(generator.integers(len(DIRECTIONS)))]
        shift = choose_reference_step(own, self.beta, angle, direction)
        noisy = reference_affine_object(own, allowed, angle, shift)
        return noisy, {"angle": angle, "shift": shift}

    def _kind(self, id: str) -> Kind:
        # Stream 0; structures draw from the streams of their labels, which are positive.
        generator = generator_of(self.seed, id, 0)
        kind = Kind(self.kinds[int(generator.integers(len(self.kinds)))])
        others = [name for name in self.kinds if name != kind]
        kind.others = tuple(others[index] for index in generator.permutation(len(others)))
        return kind

    def _reference_plan(self, ids: list[str]) -> dict[str, Kind]:
        plan = {}
        draws = reference_draws(ids, self.alpha, self.seed, self.kinds, self.max_angle)
        for id, (name, angle, direction) in draws.items():
            plan[id] = Kind(name)
            plan[id].angle, plan[id].direction = angle, direction
        return plan


def _digest(seed: int, id: str) -> bytes:
    return hashlib.sha256(f"{seed}:{id}".encode()).digest()
