"""The base of every loss: targets, weights, ignored voxels and the reduction, in one place."""

import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops, tree

from keras_robust.common.distribution import replicas, sum_over_replicas
from keras_robust.common.errors import invalid
from keras_robust.losses.ownership import watch_models, watched
from keras_robust.losses.probabilities import keep_logits, probabilities
from keras_robust.losses.targets import Aligned, align, at_least, mean, voxel_weights

_REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class SegmentationLoss(keras.losses.Loss):
    """Base class of the segmentation losses; a subclass writes `values` or `image_values`.

    Args:
        from_logits: whether `y_pred` holds logits; probabilities otherwise.
        ignore_label: label of voxels that count for nothing; None ignores no voxel.
        reduction: `"sum_over_batch_size"` (mean over what is not ignored), `"sum"`,
            `"mean_with_sample_weight"` or `"none"`.
        name: name of the loss.
        dtype: `"float64"` computes in double precision; every other dtype in float32, so that
            half precision policies lose nothing in the loss.

    Call arguments:
        y_true: integer labels `(batch, *spatial)` or `(batch, *spatial, 1)`, or one-hot or soft
            targets `(batch, *spatial, K)`.
        y_pred: `(batch, *spatial, 1)` for a sigmoid head, `(batch, *spatial, K)` for softmax.
        sample_weight: one weight per image `(batch,)` or per voxel `(batch, *spatial)`.
        kept: boolean `(batch, *spatial)`; voxels where it is false are ignored. None keeps all.

    Raises:
        ValueError: shapes that do not fit, or an option outside its range.

    `values` of a subclass is given probabilities, whatever `from_logits`, unless the subclass sets
    `takes_logits = True`: then it is given `y_pred` as it is, and minds `self.from_logits` itself.

    A trainable `keras.Variable` among the attributes of a loss is a parameter, which trains with
    the weights of the model that is compiled with the loss.
    """

    takes_logits = False
    is_claimed = False  # whether anybody trains the parameters
    is_differentiated = False  # while nobody did

    def __init__(
        self,
        *,
        from_logits: bool = False,
        ignore_label: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ):
        if reduction not in _REDUCTIONS:
            raise invalid("reduction", f"one of {_REDUCTIONS}", reduction)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.from_logits = bool(from_logits)
        self.ignore_label = ignore_label

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if _parameters_in(value):
            watch_models()

    @property
    def compute_dtype(self) -> str:
        return "float64" if self.dtype == "float64" and _has_float64() else "float32"

    def __call__(self, y_true, y_pred, sample_weight=None, kept=None):
        values, weights, count = self.weighted_values(y_true, y_pred, sample_weight, kept)
        return self.reduce(values, weights, count)

    def call(self, y_true, y_pred):
        """Unreduced loss: `(batch, *spatial)`, or `(batch,)` for a loss of whole images."""
        values, weights, _ = self.weighted_values(y_true, y_pred)
        return values if weights is None else values * weights

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        """Values, their weights (None: all one) and how many count (None: all).

        Values at ignored voxels are 0, and their weight is 0.
        """
        raise NotImplementedError

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        """Weighted loss of each image, shape `(batch,)`."""
        raise NotImplementedError

    def reduce(self, values, weights, count):
        if weights is not None:
            values = values * weights
        if self.reduction in ("none", None):
            return values
        total = ops.sum(values)
        if self.reduction == "sum":
            return total
        if self.reduction == "mean_with_sample_weight" and weights is not None:
            count = ops.sum(weights)
        if count is None:
            return mean(values) / replicas()
        # Keras adds up what the replicas return; some may count more voxels than others.
        count = sum_over_replicas(ops.cast(count, total.dtype))
        return ops.where(count > 0, total / at_least(count, 1e-12), 0.0)

    def align(self, y_true, y_pred, kept=None) -> Aligned:
        """Targets and predictions as `values` takes them.

        Raises:
            RuntimeError: nobody trains the parameters of the loss, which is differentiated.
            ValueError: shapes that do not fit, or labels that are no classes.
        """
        aligned = align(y_true, y_pred, self.ignore_label, self.compute_dtype, kept)
        predictions = watched(self, aligned.predictions)
        if self.from_logits and not self.takes_logits:
            predictions = probabilities(predictions, True)
        elif not self.from_logits:
            predictions = keep_logits(predictions, y_pred, lambda logits: watched(self, logits))
        return aligned._replace(predictions=predictions)

    def terms(self) -> Iterator["SegmentationLoss"]:
        """The elementary losses that this loss is made of."""
        yield self

    @property
    def parameters(self) -> list:
        """Parameters of the loss and of its terms that train with the weights of a model."""
        own = _parameters_in(list(vars(self).values()))
        return own + [v for term in self.terms() if term is not self for v in term.parameters]

    @property
    def trainable_variables(self) -> list:
        """The `parameters`, for whoever trains them: to ask for them claims them."""
        for loss in (self, *self.terms()):
            loss.is_claimed = True
        return self.parameters

    def renew_variables(self) -> None:
        """Make the parameters anew, of their present values, under the strategy in scope.

        Called where the loss was made outside of the scope of the model's `tf.distribute` strategy.
        """
        for name, value in list(vars(self).items()):
            if _parameters_in(value):
                setattr(self, name, tree.map_structure(_renewed, value))

    def get_config(self) -> dict[str, Any]:
        return {
            "from_logits": self.from_logits,
            "ignore_label": self.ignore_label,
            "reduction": self.reduction,
            "name": self.name,
            "dtype": self.dtype,
        }

    def __add__(self, other):
        return Sum.of((1.0, self), (1.0, other)) if _is_loss(other) else NotImplemented

    def __radd__(self, other):
        # sum([a, b]) starts from 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __mul__(self, factor):
        return Sum.of((float(factor), self)) if isinstance(factor, int | float) else NotImplemented

    __rmul__ = __mul__


class VoxelLoss(SegmentationLoss):
    """A loss with one value per voxel; a subclass writes `values(targets, predictions)`."""

    def values(self, targets, predictions):
        """Loss of each voxel, `(batch, *spatial)`, from tensors `(batch, *spatial, channels)`."""
        raise NotImplementedError

    def hard_values(self, targets, predictions):
        """The same for integer labels, whose targets are all 0 or 1, where that is cheaper."""
        return self.values(targets, predictions)

    def aligned_values(self, aligned: Aligned, is_hard: bool):
        """`values`, or `hard_values` for integer labels; for a loss that looks at the neighbours
        of a voxel, which must know those that are ignored."""
        of_voxels = self.hard_values if is_hard else self.values
        return of_voxels(aligned.targets, aligned.predictions)

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        y_true = ops.convert_to_tensor(y_true)
        aligned = self.align(y_true, y_pred, kept)
        is_hard = "float" not in keras.backend.standardize_dtype(y_true.dtype)
        is_hard &= y_true.shape[-1] == 1 or len(y_true.shape) < len(aligned.targets.shape)
        values = self.aligned_values(aligned, is_hard)
        per_image, per_voxel = voxel_weights(sample_weight, values)
        weights = per_voxel
        if per_image is not None:
            weights = ops.reshape(per_image, (-1,) + (1,) * (len(values.shape) - 1))
        count = None
        if aligned.valid is not None:
            valid = ops.cast(aligned.valid, values.dtype)
            values = ops.where(aligned.valid, values, ops.zeros_like(values))
            weights = valid if weights is None else weights * valid
            count = ops.sum(valid)
        return values, weights, count

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        values, weights, _ = self.weighted_values(y_true, y_pred, sample_weight, kept)
        axes = tuple(range(1, len(values.shape)))
        if weights is not None:
            values = values * weights
        if self.ignore_label is None and kept is None:
            return mean(values, axes) if axes else values
        valid = align(y_true, y_pred, self.ignore_label, self.compute_dtype, kept, False).valid
        count = ops.sum(ops.cast(valid, values.dtype), axis=axes)
        return ops.sum(values, axis=axes) / at_least(count, 1.0)


class ImageLoss(SegmentationLoss):
    """A loss with one value per image; a subclass writes `values(targets, predictions, weights)`.

    `weights`, `(batch, *spatial)` or None, count voxels: one of weight 2 stands for two voxels,
    one of weight 0 (an ignored one, too) is not there. Where `batch` is true, the images share one
    value: weights of images are then weights of their voxels.
    """

    batch = False

    def values(self, targets, predictions, weights):
        """Loss of each image, `(batch,)`."""
        raise NotImplementedError

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        aligned = self.align(y_true, y_pred, kept)
        like = aligned.predictions[..., 0]
        per_image, weights = voxel_weights(sample_weight, like)
        if self.batch and per_image is not None:
            spread = ops.reshape(per_image, (-1,) + (1,) * (len(like.shape) - 1))
            per_image, weights = None, spread * ops.ones_like(like)
        if aligned.valid is not None:
            valid = ops.cast(aligned.valid, self.compute_dtype)
            weights = valid if weights is None else weights * valid
        return self.values(aligned.targets, aligned.predictions, weights), per_image, None

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        values, weights, _ = self.weighted_values(y_true, y_pred, sample_weight, kept)
        return values if weights is None else values * weights


def _has_float64() -> bool:
    if keras.backend.backend() != "jax":
        return True
    import jax

    return bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined, unused-ignore]


def _parameters_in(value: Any) -> list:
    found = tree.flatten(value)
    return [item for item in found if isinstance(item, keras.Variable) and item.trainable]


def _renewed(value: Any) -> Any:
    if not isinstance(value, keras.Variable):
        return value
    return keras.Variable(
        ops.convert_to_numpy(ops.copy(value)),
        dtype=value.dtype,
        trainable=value.trainable,
        name=value.name,
    )


def _is_loss(value: Any) -> bool:
    return isinstance(value, SegmentationLoss)


@keras.saving.register_keras_serializable(package="keras_robust")
class Sum(SegmentationLoss):
    """Weighted sum of losses; each term keeps its own options and reduction.

    Args:
        losses: the terms.
        weights: one factor per term.
        name: name of the loss.

    With `reduction="none"` in every term, the result has one value per image, `(batch,)`: losses
    of voxels are averaged over their image first.

    >>> from keras_robust.losses import NCE, RCE, Dice
    >>> loss = NCE() + RCE() + 0.5 * Dice()
    >>> round(float(loss([[1, 0]], [[[0.9], [0.2]]])), 3)
    1.536
    """

    def __init__(self, losses, weights=None, name: str | None = None, dtype: Any = None):
        losses = [
            keras.saving.deserialize_keras_object(loss) if isinstance(loss, dict) else loss
            for loss in losses
        ]
        if not losses or not all(isinstance(loss, SegmentationLoss) for loss in losses):
            raise invalid("losses", "a list of keras_robust losses", losses)
        weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if len(weights) != len(losses) or not all(math.isfinite(w) for w in weights):
            raise invalid("weights", f"{len(losses)} finite factors", weights)
        reductions = {"none" if loss.reduction is None else loss.reduction for loss in losses}
        if len(reductions) > 1:
            raise invalid("losses", "terms of one reduction", sorted(reductions))
        super().__init__(
            reduction=losses[0].reduction,
            name=name or "_plus_".join(loss.name for loss in losses),
            dtype=dtype or losses[0].dtype,
        )
        self.losses = losses
        self.weights = weights

    @classmethod
    def of(cls, *pairs: tuple[float, SegmentationLoss]) -> "Sum":
        """Sum of (weight, loss) pairs, with nested sums flattened."""
        flat = [
            (factor * weight, term)
            for factor, loss in pairs
            for weight, term in (
                zip(loss.weights, loss.losses, strict=True)
                if isinstance(loss, Sum)
                else [(1.0, loss)]
            )
        ]
        return cls([term for _, term in flat], [weight for weight, _ in flat])

    def __call__(self, y_true, y_pred, sample_weight=None, kept=None):
        if self.reduction in ("none", None):
            return self.image_values(y_true, y_pred, sample_weight, kept)
        pairs = zip(self.weights, self.losses, strict=True)
        return sum(weight * loss(y_true, y_pred, sample_weight, kept) for weight, loss in pairs)

    def call(self, y_true, y_pred):
        return self.image_values(y_true, y_pred)

    def image_values(self, y_true, y_pred, sample_weight=None, kept=None):
        pairs = zip(self.weights, self.losses, strict=True)
        return sum(w * loss.image_values(y_true, y_pred, sample_weight, kept) for w, loss in pairs)

    def weighted_values(self, y_true, y_pred, sample_weight=None, kept=None):
        return self.image_values(y_true, y_pred, sample_weight, kept), None, None

    def terms(self):
        for loss in self.losses:
            yield from loss.terms()

    def get_config(self) -> dict[str, Any]:
        return {
            "losses": [keras.saving.serialize_keras_object(loss) for loss in self.losses],
            "weights": self.weights,
            "name": self.name,
            "dtype": self.dtype,
        }
