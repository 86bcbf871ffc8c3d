"""Two peers as one Keras model."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops, tree

from keras_robust.common.distribution import replicas
from keras_robust.common.errors import invalid
from keras_robust.losses import SegmentationLoss
from keras_robust.losses.keras_private import build_compiled_loss
from keras_robust.losses.ownership import parameters_of
from keras_robust.methods import SELECTIONS
from keras_robust.models.co_teaching.clipping import clip_each_peer
from keras_robust.models.co_teaching.label_trust import look
from keras_robust.models.co_teaching.outputs import by_output, like_outputs, output_names
from keras_robust.models.co_teaching.selection import (
    DisagreementSelection,
    Selection,
    SmallLossSelection,
    StochasticSelection,
)
from keras_robust.models.model import Model

_INFERENCE = ("mean", "a")
# Here, where Keras is: their own file is read without it.
for _selection in (SmallLossSelection, DisagreementSelection, StochasticSelection):
    keras.saving.register_keras_serializable(package="keras_robust")(_selection)


class Pair(NamedTuple):
    """What the two peers return in training; each as the peer's own outputs."""

    a: Any
    b: Any


@keras.saving.register_keras_serializable(package="keras_robust")
class CoTeaching(Model):
    """Two networks of one architecture; each learns from the voxels that the other one keeps.

    In each step a peer keeps the voxels whose labels it trusts, by the rule of `selection`, and
    the other peer is updated by the loss of these voxels, as if all others were ignored. `compile`,
    `fit`, `evaluate`, `predict`, saving, callbacks, precision and devices work as for any model.

    Args:
        build_model: returns a new model at each call, with initial weights of its own; or the two
            models themselves.
        selection: a `SmallLossSelection` (co-teaching), `DisagreementSelection` (co-teaching+) or
            `StochasticSelection` (stochastic co-teaching).
        inference: outside training the model returns the `"mean"` of its peers, or what the
            first one, `"a"`, returns.
        seed: of the random thresholds of `StochasticSelection`; they are a function of it and of
            the number of the step.
        **options: of `keras.Model`.

    Compile with one keras_robust loss (or a sum, or one per output). Each peer has a loss of its
    own, the second a copy, so that each T-Loss has its own ν. Gradients of the peers are
    independent, by an optimiser that treats each weight apart, and `global_clipnorm` is taken of
    each peer's. With several outputs, as in deep supervision, voxels are chosen for each output.

    History: `loss` is the mean over the peers, `kept_a` and `kept_b` the fractions of the voxels
    (of those not ignored) that each peer kept for the other one.

    Epochs are counted by `fit`; a training loop of your own sets `model.epoch` itself. With
    `tf.distribute` voxels are chosen among those of all replicas, as on one device.

    Raises:
        ValueError: The two models start from the same weights: they would never differ.

    >>> import keras, numpy as np
    >>> from keras_robust.losses import CE
    >>> from keras_robust.models import CoTeaching, SmallLossSelection
    >>> def build_model():
    ...     inputs = keras.Input((8, 8, 1))
    ...     return keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))
    >>> model = CoTeaching(build_model, SmallLossSelection(0.1, ramp_epochs=0))
    >>> model.compile("adam", CE())
    >>> images = np.random.default_rng(0).uniform(size=(4, 8, 8, 1))
    >>> history = model.fit(images, images > 0.5, verbose=0).history
    >>> [round(kept, 2) for kept in history["kept_a"]]  # 256 voxels, 26 left out
    [0.9]
    """

    def __init__(
        self,
        build_model: Callable[[], keras.Model] | Sequence[keras.Model],
        selection: Selection,
        inference: str = "mean",
        seed: int = 0,
        **options: Any,
    ):
        peers = (build_model(), build_model()) if callable(build_model) else tuple(build_model)
        if len(peers) != 2 or not all(isinstance(peer, keras.Model) for peer in peers):
            raise invalid("build_model", "a function that returns a model, or two models", peers)
        if not isinstance(selection, Selection):
            raise invalid("selection", "a keras_robust selection", selection)
        if not isinstance(build_model, _Saved):
            _require_different(*peers)
        # Keras scales the loss of a model whose own policy is mixed_float16.
        options.setdefault("dtype", peers[0].dtype_policy)
        super().__init__(**options)
        self.peer_a, self.peer_b = peers
        self.selection, self.inference, self.seed = selection, inference, int(seed)
        self.epoch = self._counter("epoch", "float32")
        self.step = self._counter("step", "int")
        self._kept = [keras.metrics.Mean(name=name) for name in ("kept_a", "kept_b")]
        self._evaluating = False
        self._losses_of_peers: tuple[Any, Any] | None = None
        self._weights_of_losses: Any = None
        self.built = all(peer.built for peer in peers)
        if self.built and (shape := getattr(self.peer_a, "input_shape", None)):
            self.build(shape)  # `export` asks Keras for the shape of this call

    @property
    def inference(self) -> str:
        """What the model returns outside training, `"mean"` or `"a"`; may be set at any time."""
        return self._inference

    @inference.setter
    def inference(self, inference: str) -> None:
        if inference not in _INFERENCE:
            raise invalid("inference", f"one of {_INFERENCE}", inference)
        self._inference = inference
        self.predict_function = self.test_function = None  # traced with what was returned before

    @property
    def peers(self) -> tuple[keras.Model, keras.Model]:
        """The two models."""
        return self.peer_a, self.peer_b

    @property
    def losses_of_peers(self) -> tuple[Any, Any] | None:
        """The compiled loss of each peer, as it was given and its copy."""
        return self._losses_of_peers

    @property
    def input_shape(self):
        return self.peer_a.input_shape

    @property
    def output_shape(self):
        return self.peer_a.output_shape

    @property
    def output_names(self) -> list[str]:
        return self.peer_a.output_names

    def build(self, input_shape=None):
        for peer in self.peers:
            if not peer.built and input_shape is not None:
                peer.build(input_shape)
        self.built = True

    def call(self, inputs, training=False):
        if training:
            return Pair(*(peer(inputs, training=True) for peer in self.peers))
        a = self.peer_a(inputs, training=False)
        if self.inference == "a":
            return a
        return _mean(Pair(a, self.peer_b(inputs, training=False)))

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, **options: Any) -> None:
        """As `keras.Model.compile`.

        Raises:
            ValueError: A loss that is not of keras_robust.
        """
        for item in tree.flatten(loss):
            if item is not None and not isinstance(item, SegmentationLoss):
                raise invalid(
                    "loss",
                    "keras_robust losses, which can leave out voxels",
                    item,
                    "See `keras_robust.losses.names()`.",
                )
        if loss is not None:
            self._losses_of_peers = (loss, _copies(loss))
            self._weights_of_losses = loss_weights
        super().compile(optimizer, loss=loss, loss_weights=loss_weights, **options)
        if loss is not None:
            clip_each_peer(self.optimizer, self._groups)

    def losses_to_train(self, loss: Any) -> Any:
        return list(self._losses_of_peers or ())

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True, **options: Any
    ):
        if not isinstance(y_pred, Pair):
            return super().compute_loss(x, y, y_pred, sample_weight, training, **options)
        if self._losses_of_peers is None:
            raise ValueError(
                "No loss to compute. Provide a `loss` argument in `compile()`. Received: none"
            )
        names = output_names(y_pred.a, self)
        outputs = [by_output(p, names) for p in y_pred]
        targets, weights = by_output(y, names, of="y"), by_output(sample_weight, names)
        # Keras builds it when it first evaluates it; its metrics must be there before.
        trackers = build_compiled_loss(self, like_outputs(y_pred.a, targets, names), _mean(y_pred))
        losses = [by_output(loss, names, of="loss") for loss in self._losses_of_peers]
        factors = by_output(self._weights_of_losses, names)
        seed = self._next_seed()
        total, parts = 0.0, {}
        for number in range(len(names)):
            if losses[0][number] is None:
                continue
            pair = (outputs[0][number], outputs[1][number])
            target, weight = targets[number], weights[number]
            seen = look(losses[0][number], target, pair, weight)
            kept = [
                self.selection(seen, peer, self.epoch.value, _fold(seed, 2 * number + peer))
                for peer in (0, 1)
            ]
            self._record(kept, seen.valid)
            # The exchange: each peer learns from what the other one keeps.
            values = [
                losses[peer][number](target, pair[peer], weight, kept[1 - peer]) for peer in (0, 1)
            ]
            factor = 1.0 if factors[number] is None else factors[number]
            total = total + factor * (values[0] + values[1])
            parts[names[number]] = (values[0] + values[1]) / 2
        self._record_parts(parts, trackers)
        for penalty in self.losses:
            total = total + ops.sum(ops.cast(penalty, "float32")) / replicas()
        # Each peer's gradient is that of its own loss; the value is the mean, to be compared with
        # the loss of one network.
        return 0.5 * total + 0.5 * (total - ops.stop_gradient(total))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if isinstance(y_pred, Pair):
            y_pred = _mean(y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def metrics(self) -> list:
        metrics = super().metrics
        # Evaluation chooses no voxels.
        return [m for m in metrics if m not in self._kept] if self._evaluating else metrics

    def evaluate(self, *args: Any, **kwargs: Any):
        with self._evaluation():
            return super().evaluate(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any):
        with self._evaluation():
            return super().test_on_batch(*args, **kwargs)

    @contextlib.contextmanager
    def _evaluation(self) -> Iterator[None]:
        self._evaluating = True
        try:
            yield
        finally:
            self._evaluating = False

    def fit(self, *args: Any, callbacks: Any = None, **kwargs: Any):
        given = [] if callbacks is None else callbacks
        if isinstance(given, keras.callbacks.CallbackList):
            given.append(_CountEpochs())
            given.set_model(self)
        else:
            given = [_CountEpochs(), *(given if isinstance(given, list | tuple) else [given])]
        return super().fit(*args, callbacks=given, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "build_model": [keras.saving.serialize_keras_object(peer) for peer in self.peers],
            "selection": keras.saving.serialize_keras_object(self.selection),
            "inference": self.inference,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None) -> "CoTeaching":
        config = dict(config)
        selections = {chosen.__name__: chosen for _, chosen in SELECTIONS.each()}
        custom_objects = {**selections, **(custom_objects or {})}
        for key in ("build_model", "selection"):
            config[key] = keras.saving.deserialize_keras_object(
                config[key], custom_objects=custom_objects
            )
        config["build_model"] = _Saved(config["build_model"])
        return cls(**config)

    def _counter(self, name: str, dtype: str):
        return self.add_weight(
            shape=(),
            initializer="zeros",
            dtype=dtype,
            trainable=False,
            autocast=False,
            aggregation="only_first_replica",
            name=name,
        )

    def _groups(self) -> list[list]:
        """Trainable variables of each peer, those of its loss included."""
        losses = self._losses_of_peers or (None, None)
        return [
            [*peer.trainable_variables, *parameters_of(loss)]
            for peer, loss in zip(self.peers, losses, strict=True)
        ]

    def _next_seed(self):
        """Seed of this step: of the model's seed and the step."""
        step = ops.copy(self.step.value)
        self.step.assign_add(1)
        dtype = "uint32" if keras.backend.backend() == "jax" else "int32"
        return ops.stack([ops.cast(self.seed % 2**31, dtype), ops.cast(step, dtype)])

    def _record(self, kept, valid) -> None:
        count = _count(valid)
        for metric, mask in zip(self._kept, kept, strict=True):
            fraction = _count(mask) / ops.maximum(count, 1.0)
            metric.update_state(ops.stop_gradient(fraction), sample_weight=count)

    def _record_parts(self, parts: dict, trackers: list) -> None:
        """The loss of each output, where there are several, in the metrics that Keras made."""
        by_name = {tracker.name: tracker for tracker in trackers}
        for name, part in parts.items():
            if tracker := by_name.get(f"{name}_loss"):
                tracker.update_state(ops.stop_gradient(part) * replicas())


class _Saved(tuple):
    """Two models whose weights, by which they differ, are still to be loaded."""


class _CountEpochs(keras.callbacks.Callback):
    """Tells the model which epoch it is in, after a resumption, too."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.epoch.assign(float(epoch))


def _mean(pair: Pair):
    return tree.map_structure(lambda a, b: (a + b) / 2, pair.a, pair.b)


def _copies(losses: Any) -> Any:
    """Copies in the same structure; a loss of several outputs is one copy for all of them."""
    made = {id(loss): _copy(loss) for loss in tree.flatten(losses) if loss is not None}
    return tree.map_structure(lambda loss: made.get(id(loss)), losses)


def _copy(loss: SegmentationLoss) -> SegmentationLoss:
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    for theirs, ours in zip(copy.parameters, loss.parameters, strict=True):
        theirs.assign(_array(ours))  # not the same buffer, which JAX could not donate twice
    return copy


def _fold(seed, number: int):
    return seed + ops.convert_to_tensor(
        [611953 * number, 0], dtype=keras.backend.standardize_dtype(seed.dtype)
    )


def _count(mask):
    return ops.cast(ops.sum(ops.cast(mask, "int32")), "float32")


def _require_different(a: keras.Model, b: keras.Model) -> None:
    if a is b:
        raise invalid("build_model", "a new model at each call", a)
    pairs = list(zip(a.trainable_variables, b.trainable_variables, strict=False))
    if pairs and all(v.shape == w.shape and np.array_equal(_array(v), _array(w)) for v, w in pairs):
        raise invalid(
            "build_model",
            (
                "models that start from different weights, without which the peers "
                "would never differ"
            ),
            said="two models with equal weights",
            remedy="Give the initialisers no fixed seed.",
        )


def _array(variable) -> np.ndarray:
    return ops.convert_to_numpy(ops.copy(variable.value))
