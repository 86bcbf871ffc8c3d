"""Which voxels a peer trusts, and so hands to the other peer to learn from."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from keras_robust.common.distribution import gather_over_replicas, replicas, sum_over_replicas
from keras_robust.common.errors import invalid, made, options_of
from keras_robust.methods import SELECTIONS

if TYPE_CHECKING:
    from keras_robust.models.co_teaching.label_trust import Labelled

_QUANTILES = 4096


class _Operations:
    """Keras's, imported with the first one: menus and studies ask for options without Keras."""

    def __getattr__(self, name: str) -> Any:
        from keras import ops

        return getattr(ops, name)


ops = _Operations()


class Selection:
    """Base of the selections; a subclass writes `choose`.

    Args:
        balanced: choose among the voxels of each class (of the labels) apart, so that rejecting
            does not thin out the rare classes first; among all voxels of the batch otherwise.
        min_kept: smallest fraction of the voxels that is kept, 0 < min_kept <= 1; see the
            subclasses.
    """

    def __init__(self, *, balanced: bool = False, min_kept: float = 0.1):
        if not 0 < min_kept <= 1:
            raise invalid("min_kept", "0 < min_kept <= 1", min_kept)
        self.balanced, self.min_kept = bool(balanced), float(min_kept)

    def rate(self, epoch):
        """The schedule at an epoch, counted from 0: a number or a tensor."""
        raise NotImplementedError

    def choose(self, trust, candidates, disagree, epoch, seed):
        """Voxels to keep among the candidates; boolean `(batch, *spatial)`, as all but `trust`."""
        raise NotImplementedError

    def __call__(self, seen: "Labelled", peer: int, epoch, seed):
        """Voxels that a peer (0 or 1) keeps: boolean `(batch, *spatial)`.

        Args:
            seen: the batch, see `Labelled`.
            peer: whose choice.
            epoch: counted from 0, a number or a tensor.
            seed: integer tensor `(2,)`; the choice is a function of it.
        """
        draws = _Draws(seed)
        trust, disagree = seen.trust[peer], seen.disagree
        if not self.balanced:
            return self.choose(trust, seen.valid, disagree, epoch, draws)
        kept = ops.zeros_like(seen.valid)
        for label in range(seen.classes):
            candidates = ops.logical_and(seen.valid, ops.equal(seen.label, label))
            chosen = self.choose(trust, candidates, disagree, epoch, draws)
            kept = ops.logical_or(kept, chosen)
        return kept

    def get_config(self) -> dict[str, Any]:
        return {"balanced": self.balanced, "min_kept": self.min_kept}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Selection":
        return cls(**config)


class SmallLossSelection(Selection):
    r"""Co-teaching: keep the voxels of smallest cross entropy ([Han et al., 2018]).

    Of N voxels the $\lceil RN \rceil$ whose label the peer finds least probable are left out
    (ties with the last one kept stay). $R$ grows linearly over the first epochs, from 0 to
    `forget_rate`.

    Args:
        forget_rate: fraction $R$ to leave out in the end; nnRobustLoss searches [0, 0.1].
        ramp_epochs: epochs over which it grows; 0 leaves out `forget_rate` from the beginning.
        balanced: see `Selection`.
        min_kept: smallest fraction kept; caps `forget_rate`.

    [Han et al., 2018]: https://arxiv.org/abs/1804.06872

    >>> [round(float(SmallLossSelection(0.09).rate(epoch)), 2) for epoch in (0, 1, 9, 50)]
    [0.0, 0.01, 0.09, 0.09]
    """

    def __init__(
        self,
        forget_rate: float = 0.05,
        ramp_epochs: int = 10,
        *,
        balanced: bool = False,
        min_kept: float = 0.1,
    ):
        super().__init__(balanced=balanced, min_kept=min_kept)
        if not 0 <= forget_rate < 1:
            raise invalid("forget_rate", "0 <= forget_rate < 1", forget_rate)
        if ramp_epochs < 0:
            raise invalid("ramp_epochs", "ramp_epochs >= 0", ramp_epochs)
        self.forget_rate, self.ramp_epochs = float(forget_rate), int(ramp_epochs)

    def rate(self, epoch):
        return self.forget_rate * _ramp(epoch, 0, self.ramp_epochs)

    def choose(self, trust, candidates, disagree, epoch, seed):
        return _most_trusted(trust, candidates, self.rate(epoch), self.min_kept)

    def get_config(self) -> dict[str, Any]:
        own = {"forget_rate": self.forget_rate, "ramp_epochs": self.ramp_epochs}
        return {**own, **super().get_config()}


class DisagreementSelection(SmallLossSelection):
    """Co-teaching+: small losses, where the peers predict different classes ([Yu et al., 2019]).

    Args:
        forget_rate: see `SmallLossSelection`; of the voxels on which the peers disagree.
        ramp_epochs: see `SmallLossSelection`.
        warmup: first epochs, in which agreement does not matter, as in co-teaching.
        balanced: see `Selection`.
        min_kept: where the peers disagree on a smaller fraction of the voxels, agreement does not
            matter either.

    [Yu et al., 2019]: https://arxiv.org/abs/1901.04215
    """

    def __init__(
        self,
        forget_rate: float = 0.05,
        ramp_epochs: int = 10,
        warmup: int = 10,
        *,
        balanced: bool = False,
        min_kept: float = 0.001,
    ):
        super().__init__(forget_rate, ramp_epochs, balanced=balanced, min_kept=min_kept)
        if warmup < 0:
            raise invalid("warmup", "warmup >= 0", warmup)
        self.warmup = int(warmup)

    def choose(self, trust, candidates, disagree, epoch, seed):
        disputed = ops.logical_and(candidates, disagree)
        enough = _count(disputed) > self.min_kept * _count(candidates)
        applies = ops.logical_and(enough, ops.convert_to_tensor(epoch >= self.warmup))
        candidates = ops.where(applies, disputed, candidates)
        return _most_trusted(trust, candidates, self.rate(epoch), self.min_kept)

    def get_config(self) -> dict[str, Any]:
        return {"warmup": self.warmup, **super().get_config()}


class StochasticSelection(Selection):
    r"""Stochastic co-teaching: keep a voxel whose label is more probable than a random threshold.

    The threshold of each voxel is drawn from $r(e)\,\mathrm{Beta}(\alpha, \beta)$, anew in each
    step and for each peer ([de Vos et al., 2023]); $r$ is 0 for the first epochs, which keeps all,
    and still in the one after them, then grows by 1 / `ramp` an epoch to 1.

    The schedule is that of the [published code], whose selection differs in two points: one
    threshold serves the same voxel of each tile of 16×16 (in volumes 8×16×16) voxels, and both
    peers; and in the cross entropy each channel's logit is compared with it, where here, as in the
    papers, it is the probability of the label.

    Args:
        alpha: α > 0; nnRobustLoss searches [0.5, 8], its authors' earlier work uses 32.
        beta: β > 0; nnRobustLoss searches [0.5, 8], its authors' earlier work uses 2.
        warmup: first epochs, in which all voxels are kept.
        ramp: epochs over which $r$ grows, which it ends before it is 1; 0 for r = 1 after the
            warm-up.
        balanced: apply `min_kept` to each class apart.
        min_kept: where a smaller fraction would be kept, the most trusted voxels up to this
            fraction are kept as well.

    [de Vos et al., 2023]: https://doi.org/10.1038/s41598-023-43864-7
    [published code]: https://github.com/88vikram/nnUNetStoCoT

    >>> selection = StochasticSelection(2.0, 2.0)
    >>> [round(float(selection.rate(epoch)), 2) for epoch in (0, 20, 21, 39, 40, 80)]
    [0.0, 0.0, 0.05, 0.95, 1.0, 1.0]
    """

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 2.0,
        warmup: int = 20,
        ramp: int = 20,
        *,
        balanced: bool = False,
        min_kept: float = 0.1,
    ):
        super().__init__(balanced=balanced, min_kept=min_kept)
        for name, number in {"alpha": alpha, "beta": beta}.items():
            if not (number > 0 and math.isfinite(number)):
                raise invalid(name, f"{name} > 0", number)
        for name, number in {"warmup": warmup, "ramp": ramp}.items():
            if number < 0:
                raise invalid(name, f"{name} >= 0", number)
        self.alpha, self.beta = float(alpha), float(beta)
        self.warmup, self.ramp = int(warmup), int(ramp)
        self._quantiles = _beta_quantiles(self.alpha, self.beta)

    def rate(self, epoch):
        # Of the `ramp` epochs the first has 0; the first after them has 1.
        return _ramp(epoch, self.warmup, self.ramp + 1 if self.ramp else 0)

    def choose(self, trust, candidates, disagree, epoch, seed):
        from keras_robust.models.co_teaching.label_trust import uniform

        # By inversion: cheaper than sampling gammas, and XLA compiles it.
        bins = ops.cast(uniform(trust, seed.next()) * _QUANTILES, "int32")
        thresholds = ops.take(ops.convert_to_tensor(self._quantiles), bins)
        rate = self.rate(epoch)
        above = ops.logical_or(trust > rate * thresholds, ops.convert_to_tensor(rate <= 0))
        kept = ops.logical_and(candidates, above)
        few = _count(kept) < self.min_kept * _count(candidates)

        def with_most_trusted():
            return ops.logical_or(kept, _most_trusted(trust, candidates, 1.0, self.min_kept))

        if replicas() > 1:  # which cannot meet within a condition
            return ops.where(few, with_most_trusted(), kept)
        # Sorting costs more than all else here, and is seldom needed.
        return ops.cond(few, with_most_trusted, lambda: kept)

    def get_config(self) -> dict[str, Any]:
        own = {"alpha": self.alpha, "beta": self.beta, "warmup": self.warmup, "ramp": self.ramp}
        return {**own, **super().get_config()}


Chosen = TypeVar("Chosen", bound=type[Selection])


def register_selection(name: str, words: str = "") -> Callable[[Chosen], Chosen]:
    """Make a selection of one's own known by a name, to `selection.name` of configurations.

    A loss, a dash and the name are then a method with two peers, such as `"ce+dice-NAME"`.

    Args:
        name: Small letters, digits and `_`; not one of the project's. The same name again takes
            the place of what it stood for.
        words: A sentence on it for menus; by default the first of its docstring.

    Raises:
        ValueError: Another name, or a class that is no `Selection`.

    >>> @register_selection("surest")
    ... class Surest(Selection):
    ...     def rate(self, epoch):
    ...         return 0.5
    ...
    ...     def choose(self, trust, candidates, disagree, epoch, seed):
    ...         return candidates & (trust > self.rate(epoch))
    >>> get_selection("surest", balanced=True).balanced
    True
    """
    return SELECTIONS.register(name, words)


def get_selection(name: str, **options: Any) -> Selection:
    """A selection by the name of its method.

    Raises:
        ValueError: An unknown name, or options that the selection does not take, or not with
            these values.

    >>> get_selection("stocot", alpha=4.0).alpha
    4.0
    """
    cls = SELECTIONS.find(name)
    known = options_of(cls)
    if stray := [option for option in options if option not in known]:
        raise invalid("options", f"among {known} for the selection {name!r}", stray)
    return made(cls, options)


class _Draws:
    """Seeds of successive draws, all from one."""

    def __init__(self, seed):
        self._seed, self._number = seed, 0

    def next(self):
        from keras.backend import standardize_dtype

        self._number += 1
        return self._seed + ops.convert_to_tensor(
            [7919 * self._number, 0], dtype=standardize_dtype(self._seed.dtype)
        )


def _ramp(epoch, start: int, length: int):
    """0 before `start`, then `length` values from 0 to 1, both included, then 1."""
    passed = ops.cast(ops.convert_to_tensor(epoch), "float32") - start
    if length <= 1:
        return ops.cast(passed >= length, "float32")
    return ops.clip(passed / (length - 1), 0.0, 1.0)


def _most_trusted(trust, candidates, rate, min_kept: float):
    """The candidates without the given fraction of least trust; ties with the last kept stay."""
    count = _count(candidates)
    # Of 10 voxels, 0.3 are 3, though float32 says 3.0000001.
    left_out = ops.minimum(
        ops.ceil(rate * count * (1 - 1e-6)), ops.floor((1 - min_kept) * count * (1 + 1e-6))
    )
    last = ops.cast(ops.minimum(left_out, ops.maximum(count - 1, 0)), "int32")
    # What is no candidate sorts behind all probabilities.
    ranked = ops.reshape(ops.where(candidates, trust, 2 * ops.ones_like(trust)), (-1,))
    ranked = ops.sort(gather_over_replicas(ranked))
    return ops.logical_and(candidates, trust >= ops.take(ranked, last))


def _count(mask):
    """Of the voxels of all replicas (tf.distribute)."""
    # Not in float32 at once: TensorFlow's sum saturates at 2**24 ones.
    return sum_over_replicas(ops.cast(ops.sum(ops.cast(mask, "int32")), "float32"))


def _beta_quantiles(alpha: float, beta: float) -> np.ndarray:
    from scipy.special import betaincinv

    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return betaincinv(alpha, beta, middles).astype("float32")
