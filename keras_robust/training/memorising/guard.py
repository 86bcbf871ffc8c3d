"""A callback that keeps the network as it was before it learned wrong masks by heart."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import tree

from keras_robust.common.errors import invalid
from keras_robust.metrics import dice
from keras_robust.training.memorising.looks import (
    HELD_OUT,
    PATIENCE,
    around,
    averaged,
    is_due,
    is_over,
    kept_of,
    peak,
    tell,
)


class MemorisationGuard(keras.callbacks.Callback):
    """Keep the network as it was before it learned wrong masks by heart; no mask need be right.

    A network first learns what masks have in common, then what is wrong with each. The latter
    helps with no other image: on images that it does not train on, the Dice against masks *as
    wrong as those of the training images* rises and falls with the one against right masks, which
    nobody has. The guard looks at it after passes 1 to 10 and then after ever more, each a tenth
    later than the one before, and smooths it. When training ends it sets the model to the mean of
    the weights of the looks around the highest point, from two thirds of its passes to half as many
    more (stochastic weight averaging, Izmailov et al., 2018): single networks jump. Where masks are
    right there is no fall, and nothing is lost but the images that are held out.

    Works with any Keras model on every backend, two peers (`keras_robust.models.CoTeaching`)
    among them. What it kept of what in how many runs: `docs/results/regimes`.

    Args:
        data: images and masks that are *not* trained on, of the same annotators, about a fifth of
            all: a pair of arrays, or batches of such pairs that can be gone through again and
            again, such as a `tf.data.Dataset`. Masks are labels `(n, *spatial)` or
            `(n, *spatial, 1)`, or one value per class `(n, *spatial, K)`.
        stop: end training at 2.5 times the pass that is kept; otherwise train to the end.
        ignore_label: label of voxels that do not count.
        batch_size: images per prediction where `data` is a pair of arrays.

    Attributes:
        passes, scores: of the looks so far; a score is the mean Dice over the images.
        kept: the pass around which weights are kept, from 1; None before the first look.
        message: what it did, in a sentence, once training has ended.

    Up to about a dozen copies of the weights are held in memory. Pass each `fit` a new guard.
    The column `dice_held_out` is added to the logs of the passes that were looked at.

    Raises:
        ValueError: No images, or not as many as masks.

    >>> import keras, numpy as np
    >>> from keras_robust.training import MemorisationGuard
    >>> images = np.random.default_rng(0).uniform(size=(12, 8, 8, 1))
    >>> masks = images > 0.5
    >>> inputs = keras.Input((8, 8, 1))
    >>> model = keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))
    >>> model.compile("sgd", "binary_crossentropy")
    >>> guard = MemorisationGuard((images[8:], masks[8:]))
    >>> history = model.fit(images[:8], masks[:8], epochs=3, verbose=0, callbacks=[guard])
    >>> guard.passes
    [1, 2, 3]
    """

    def __init__(
        self,
        data: Any,
        *,
        stop: bool = True,
        ignore_label: int | None = None,
        batch_size: int = 16,
    ):
        super().__init__()
        if isinstance(data, tuple) and len(data) == 2 and len(data[0]) != len(data[1]):
            raise invalid(
                "data",
                "as many images as masks",
                said=f"{len(data[0])} images and {len(data[1])} masks",
            )
        self.data, self.stop = data, bool(stop)
        self.ignore_label, self.batch_size = ignore_label, int(batch_size)
        self.passes: list[int] = []
        self.scores: list[float] = []
        self.message = ""
        self._weights: dict[int, list[np.ndarray]] = {}
        self._ended = False

    @property
    def kept(self) -> int | None:
        """The pass whose weights are kept."""
        if not self.passes:
            return None
        return kept_of(self.passes, self.scores, self._weights or self.passes)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        now = epoch + 1
        if not is_due(self.passes, now):
            return
        score = self._score()
        self.passes.append(now)
        self.scores.append(score)
        if logs is not None:
            logs[HELD_OUT] = score
        self._weights[now] = [np.array(value) for value in self.model.get_weights()]
        # A later look moves the peak a little; what lies further back is no longer needed.
        reach = peak(self.passes, self.scores) / PATIENCE
        self._weights = {number: w for number, w in self._weights.items() if number >= reach}
        if self.stop and is_over(self.passes, self.scores):
            self._ended = True
            self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        kept = self.kept
        if kept is None:
            return
        passes = around(kept, self._weights)
        mean = averaged(self._weights[kept], [self._weights[number] for number in passes])
        self.model.set_weights(mean)
        self._weights = {kept: mean}
        self.message = tell(kept, self.passes[-1], self._ended, passes)

    def _score(self) -> float:
        scores = [score for batch in self._batches() for score in self._dice(*batch)]
        if not scores:
            raise invalid("data", "at least one image with a mask", said="none")
        return float(np.mean(scores))

    def _batches(self) -> Iterator[tuple[Any, Any]]:
        if not (isinstance(self.data, tuple) and len(self.data) == 2):
            yield from self.data
            return
        images, masks = self.data
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield images[part], masks[part]

    def _dice(self, images: Any, masks: Any) -> Iterable[float]:
        outputs = self.model.predict_on_batch(images)
        probabilities = np.asarray(tree.flatten(outputs)[0])  # of several outputs the finest
        targets = np.asarray(masks)
        channels = probabilities.shape[-1]
        classes = max(channels, 2)
        if targets.ndim == probabilities.ndim:
            soft = targets.shape[-1] > 1
            targets = targets.argmax(-1) if soft else targets[..., 0]
        if targets.dtype.kind in "fb":
            targets = (targets > 0.5) if classes == 2 else targets
        predicted = probabilities[..., 0] > 0.5 if channels == 1 else probabilities.argmax(-1)
        for one, other in zip(predicted.astype(int), targets.astype(int), strict=True):
            found = dice(one, other, classes=classes, ignore_label=self.ignore_label)
            yield float(np.mean(found))
