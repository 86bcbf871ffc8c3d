"""When robust training helps: curves of Dice along training, for losses, noises and data sets.

    python scripts/reproduce_regimes.py DATA [--output docs/results/regimes] [--hours 10]

DATA holds the folders bubil_multi_256, isic2018_task1_128, shenzhen_cxr_256 and msd_hippocampus.
The same command continues an interrupted series: finished runs are skipped. Settings come in the
order of what they tell, so that whatever is done when the hours end is a table of its own. Each run
leaves `curves/SETTING.csv`, a row per evaluated pass over the training images, and for the study of
stopping rules `counts/SETTING.npz`, the pixels that each training image and each held-out image
counts in each of these passes. Methods that end in `-corrected` go back, when the guard would end
training, to the pass that it keeps, and go on from there to the end with masks that the networks
around it have put right; where it would not, they are the method without.

Nobody trains on the held-out images; their masks are as noisy as those of the training images. The
test masks are clean.
"""

import argparse
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_robust.common.files import atomic_write_bytes
from keras_robust.common.tables import write_csv
from keras_robust.data import Dataset
from keras_robust.losses.ownership import elementary
from keras_robust.methods import CORRECTED
from keras_robust.models import UNet, robust_method
from keras_robust.noise import LabelNoise
from keras_robust.training.devices import limit_threads
from keras_robust.training.memorising.correction import corrected
from keras_robust.training.memorising.looks import around, averaged, is_over, peak
from keras_robust.training.source import DiskSource, MemorySource
from keras_robust.training.state import dump_state, load_state
from keras_robust.training.whole_images.corrections import averaged_over_views
from keras_robust.training.whole_images.stream import evaluation_stream, training_stream

METHODS = ("ce+dice", "t+dice", "t", "gce", "stocot", "t+dice-stocot")
PRECISIONS = {"t-one": {"log_precision": 1.0}, "t-learned": {"log_precision": "learned"}}
"""The T-Loss with a fixed precision of e, as in its authors' code, and with a learned one."""
CORRECTING = tuple(name + CORRECTED for name in ("ce+dice", "t+dice", "t+dice-stocot"))
PASSES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 24, 28, 33, 39, 46, 54, 64, 75)
BATCH, HELD_OUT, FEATURES, MAX_FEATURES, LEARNING_RATE = 8, 32, 6, 64, 1e-3
NOISES = {
    "0.7": LabelNoise(alpha=0.7, beta=0.7),
    "0.5": LabelNoise(alpha=0.5, beta=0.5),
    "mistakes": LabelNoise(alpha=0.3, beta=0.5, kinds=("mistakes",)),
    "clean": LabelNoise(alpha=0.0, beta=0.7),
}


@dataclass(frozen=True)
class Images:
    """A data set: its folder, whose masks are clean, what its images are resized to."""

    folder: str
    annotator: str | None
    size: tuple[int, ...]
    normalize: str = "range"
    test: int = 100


DATA = {
    "cells": Images("bubil_multi_256", "gold", (64, 64)),
    "dermoscopy": Images("isic2018_task1_128", None, (64, 64)),
    "x-rays": Images("shenzhen_cxr_256", None, (64, 64)),
    "hippocampus": Images("msd_hippocampus", None, (24, 32, 24), "zscore", 60),
}


@dataclass(frozen=True)
class Setting:
    """One run."""

    data: str
    noise: str
    images: int
    method: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data}_{self.noise}_{self.images}_{self.method}_{self.seed}"

    @classmethod
    def of(cls, name: str) -> "Setting":
        data, noise, images, method, seed = name.split("_")
        return cls(data, noise, int(images), method, int(seed))


def settings() -> list[Setting]:
    """All runs, the most telling first."""
    first, seeds = ("cells", "dermoscopy"), range(3)
    blocks = [
        (("cells",), ("0.7",), (100,), METHODS, (0,)),
        (("cells",), ("clean",), (100,), METHODS[:2], (0,)),
        (("dermoscopy",), ("0.7",), (100,), METHODS[:2], (0,)),
        (("cells",), ("0.7",), (100,), PRECISIONS, (0,)),
        (first, ("clean", "mistakes"), (100,), METHODS[:2], (0,)),
        (DATA, ("0.7", "mistakes"), (100,), CORRECTING, (0,)),
        (first, ("0.7",), (100,), METHODS, seeds),
        (first, NOISES, (100,), METHODS, seeds),
        (("x-rays", "hippocampus"), NOISES, (100,), METHODS, seeds),
        (DATA, ("0.7",), (50,), METHODS, seeds),
        (("dermoscopy", "x-rays"), ("0.7",), (200, 400), METHODS, seeds),
        (DATA, NOISES, (100,), METHODS, range(5)),
    ]
    return list(dict.fromkeys(setting for block in blocks for setting in _block(*block)))


def _block(data, noises, counts, methods, seeds) -> Iterator[Setting]:
    for noise in noises:
        for seed in seeds:
            for name in data:
                for count in counts:
                    for method in methods:
                        yield Setting(name, noise, count, method, seed)


class Prepared:
    """Images of a data set in memory, drawn anew by each seed into three parts."""

    def __init__(self, root: Path, name: str):
        self.options = DATA[name]
        dataset = Dataset.open(root / self.options.folder)
        self.classes = dataset.classes
        annotator = self.options.annotator
        chosen = dataset if annotator is None else dataset.select(annotator=annotator)
        self.all = MemorySource.of(DiskSource(chosen, self.options.size))

    def parts(self, setting: Setting) -> tuple[MemorySource, MemorySource, MemorySource]:
        """Training images, held-out and test images, with clean masks."""
        order = np.random.default_rng(setting.seed).permutation(len(self.all.ids))
        test, rest = order[: self.options.test], order[self.options.test :]
        held_out, train = rest[:HELD_OUT], rest[HELD_OUT : HELD_OUT + setting.images]
        if len(train) < setting.images:
            raise ValueError(f"{setting.data} has {len(train)} images for {setting.name}.")
        return self._of(train), self._of(held_out), self._of(test)

    def _of(self, indices: np.ndarray) -> MemorySource:
        ids = tuple(self.all.ids[index] for index in indices)
        return MemorySource(ids, self.all.images[indices], self.all.masks[indices])


def noisy(source: MemorySource, setting: Setting) -> MemorySource:
    """The same images with the masks to train on; held-out images are noisy in the same way."""
    noise = NOISES[setting.noise]
    made = LabelNoise(noise.alpha, noise.beta, setting.seed, noise.kinds)
    masks, _ = made.apply(list(source.masks), ids=source.ids)
    return MemorySource(source.ids, source.images, np.stack(masks))


class Network:
    """A method's model of one shape of images: traced once, begun anew by every run."""

    def __init__(self, method: str, shape: tuple[int, ...], classes: int):
        self.method, self.shape, self.classes = method, shape, classes
        self.model = self._built()
        self.predict = tf.function(
            lambda images: _peers(self.model, images),
            input_signature=[tf.TensorSpec((None, *shape), tf.float32)],
        )

    def _built(self) -> keras.Model:
        options = PRECISIONS.get(self.method, {})
        name = "t" if options else self.method.removesuffix(CORRECTED)
        method = robust_method(name, **options)
        outputs = 1 if self.classes == 2 else self.classes
        model = method.model(
            lambda: UNet(self.shape, outputs, features=FEATURES, max_features=MAX_FEATURES)
        )
        model.compile(keras.optimizers.Adam(LEARNING_RATE), method.loss, jit_compile=False)
        model.optimizer.build(model.trainable_variables)
        return model

    def begin(self, seed: int) -> None:
        """Initial weights of a seed, and an optimiser without a past."""
        keras.utils.set_random_seed(seed)
        load_state(self.model, dump_state(self._built()))

    @property
    def losses(self) -> list:
        return list(elementary(getattr(self.model, "losses_of_peers", None) or self.model.loss))


def _peers(model: keras.Model, images: tf.Tensor) -> tf.Tensor:
    """Probabilities of each peer `(peers, batch, ...)`, of one network those of one."""
    networks = getattr(model, "peers", (model,))
    return tf.stack([network(images, training=False) for network in networks])


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """The predicted labels of probabilities `(n, *spatial, channels)`."""
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] > 0.5).astype(np.uint8)
    return probabilities.argmax(-1).astype(np.uint8)


def overlap(labels: np.ndarray, masks: np.ndarray, classes: int) -> np.ndarray:
    """Sizes of intersection, prediction and mask, `(n, foreground classes, 3)`."""
    axes = tuple(range(1, labels.ndim))
    of_class = [
        [((labels == c) & (masks == c)).sum(axes), (labels == c).sum(axes), (masks == c).sum(axes)]
        for c in range(1, classes)
    ]
    return np.moveaxis(np.array(of_class, np.int32), -1, 0)


def dice_of(counts: np.ndarray) -> np.ndarray:
    """Dice of each image from `overlap`, the mean over the classes."""
    both, total = counts[..., 0], counts[..., 1] + counts[..., 2]
    return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0).mean(-1)


class Curve(keras.callbacks.Callback):
    """Looks at the predictions after the passes of `PASSES`, and writes what it has seen."""

    def __init__(self, network: Network, parts: dict, normalize: str, folder: Path, name: str):
        super().__init__()
        self.network, self.parts, self.normalize = network, parts, normalize
        self.corrects = network.method.endswith(CORRECTED)
        self.states: dict[int, bytes] = {}
        self.csv = folder / "curves" / f"{name}.csv"
        self.npz = folder / "counts" / f"{name}.npz"
        self.rows: list[dict] = []
        self.counts: dict[str, list] = {}
        self.before: np.ndarray | None = None
        self.weights: dict[int, list[np.ndarray]] = {}
        self.begun = time.process_time()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        if epoch + 1 not in PASSES:
            return
        row = {"pass": epoch + 1, "loss": float(logs["loss"])}
        for part, (source, clean, noisy_masks) in self.parts.items():
            probabilities = self._predicted(source)
            labels = labels_of(probabilities.mean(0))
            against = {"clean": clean} | ({} if noisy_masks is None else {"noisy": noisy_masks})
            for kind, masks in against.items():
                counts = overlap(labels, masks, self.network.classes)
                row[f"{part}_{kind}"] = dice_of(counts).mean()
                self._keep(f"{part}_{kind}", counts)
            if part == "train":
                row |= self._signals(probabilities, labels, noisy_masks)
        for number, loss in enumerate(x for x in self.network.losses if hasattr(x, "nu")):
            row[f"nu_{number}"] = loss.nu
            if loss.learns_precision:
                row[f"log_precision_{number}"] = loss.log_precision
        row["kept"] = float(logs.get("kept_a", 1.0))
        row["seconds"] = round(time.process_time() - self.begun, 1)
        self.rows.append({key: _short(value) for key, value in row.items()})
        write_csv(self.csv, list(self.rows[0]), self.rows)
        self.weights[epoch + 1] = [np.array(value) for value in self.network.model.get_weights()]
        if self.corrects:
            self.states[epoch + 1] = dump_state(self.network.model)
            self.model.stop_training = is_over(*self.looks)
        if epoch + 1 == PASSES[-1] and not (self.corrects and is_over(*self.looks)):
            self._look_at_means()
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **{key: np.stack(v) for key, v in self.counts.items()})
            atomic_write_bytes(self.npz, buffer.getvalue())

    @property
    def looks(self) -> tuple[list[int], list[float]]:
        """Passes and scores of the looks at held-out masks."""
        return [row["pass"] for row in self.rows], [row["held_out_noisy"] for row in self.rows]

    def go_back(self) -> int:
        """To the pass that the guard keeps, as if no other had followed; no look at masks any more.

        Returns:
            The pass.
        """
        kept = peak(*self.looks)
        self.rows = [row for row in self.rows if row["pass"] <= kept]
        self.counts = {name: values[: len(self.rows)] for name, values in self.counts.items()}
        self.weights = {number: w for number, w in self.weights.items() if number <= kept}
        load_state(self.network.model, self.states[kept])
        self.corrects = False
        return kept

    def masks_put_right(self, images: MemorySource, masks: np.ndarray) -> np.ndarray:
        """Masks in which what the networks around the kept pass are sure of takes its place."""
        together = [self.weights[number] for number in around(peak(*self.looks), self.weights)]
        stream = evaluation_stream(images, batch_size=32, normalize=self.normalize, threads=1)
        model = self.network.model
        found = [averaged_over_views(model, together, batch.numpy()) for batch, _ in stream]
        return corrected(np.concatenate(found), masks)

    def _look_at_means(self) -> None:
        """The test images by the mean of the networks around each look, as the guard keeps it."""
        test, clean, _ = self.parts["test"]
        for number, own in self.weights.items():
            together = [self.weights[other] for other in around(number, self.weights)]
            self.network.model.set_weights(averaged(own, together))
            labels = labels_of(self._predicted(test).mean(0))
            self._keep("test_averaged", overlap(labels, clean, self.network.classes))
        self.network.model.set_weights(self.weights[PASSES[-1]])

    def _signals(self, probabilities: np.ndarray, labels: np.ndarray, masks: np.ndarray) -> dict:
        """What can be known of the training images without clean masks."""
        axes = tuple(range(1, masks.ndim))
        right = labels == masks
        before = np.zeros_like(right) if self.before is None else self.before == masks
        changed = np.zeros_like(right) if self.before is None else self.before != labels
        self.before = labels
        mean = probabilities.mean(0).astype(np.float64)
        if mean.shape[-1] == 1:
            mean = np.concatenate([1 - mean, mean], -1)
        target = np.eye(mean.shape[-1])[masks]
        error = ((mean - target)[..., 1:] if mean.shape[-1] == 2 else mean - target) ** 2
        first, second = labels_of(probabilities[0]), labels_of(probabilities[-1])
        squared = error.sum((*axes, error.ndim - 1))
        self._keep("squared", squared)
        self._keep("towards", (right & ~before & changed).sum(axes))
        self._keep("away", (~right & before & changed).sum(axes))
        self._keep("churn", changed.sum(axes))
        self._keep("denied", ((first == second) & (first != masks)).sum(axes))
        size = error[0].size
        return {
            "mse": squared.mean() / size,
            "spread_log_mse": np.log(np.maximum(squared, 1e-6 * size)).std(),
            "churn": changed.mean(),
            "denied": ((first == second) & (first != masks)).mean(),
        }

    def _keep(self, name: str, value: np.ndarray) -> None:
        kind = np.float32 if value.dtype.kind == "f" else np.uint16 if value.max() < 2**16 else None
        self.counts.setdefault(name, []).append(value.astype(kind or np.int32))

    def _predicted(self, source: MemorySource) -> np.ndarray:
        stream = evaluation_stream(source, batch_size=32, normalize=self.normalize, threads=1)
        return np.concatenate([self.network.predict(images) for images, _ in stream], axis=1)


def _short(value):
    return float(f"{value:.5g}") if isinstance(value, float | np.floating) else value


def run(setting: Setting, prepared: Prepared, network: Network, folder: Path) -> None:
    """Train once, and leave the curve of it."""
    train, held_out, test = prepared.parts(setting)
    to_learn, other = noisy(train, setting), noisy(held_out, setting)
    parts = {
        "train": (train, train.masks, to_learn.masks),
        "held_out": (held_out, held_out.masks, other.masks),
        "test": (test, test.masks, None),
    }
    normalize = prepared.options.normalize
    network.begin(setting.seed)
    curve = Curve(network, parts, normalize, folder, setting.name)

    def fit(source: MemorySource, begun: int) -> None:
        stream = training_stream(
            source, batch_size=BATCH, seed=setting.seed, normalize=normalize, threads=1
        )
        network.model.fit(
            stream,
            initial_epoch=begun,
            epochs=PASSES[-1],
            steps_per_epoch=setting.images // BATCH,
            shuffle=False,
            verbose=0,
            callbacks=[curve],
        )

    fit(to_learn, 0)
    if curve.corrects and is_over(*curve.looks):
        right = curve.masks_put_right(to_learn, to_learn.masks)
        fit(MemorySource(to_learn.ids, to_learn.images, right), curve.go_back())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("--output", type=Path, default=Path("docs/results/regimes"))
    parser.add_argument("--hours", type=float, default=10.0, help="begin no run after so long")
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of settings")
    arguments = parser.parse_args()
    limit_threads(1)
    end = time.monotonic() + 3600 * arguments.hours
    prepared: dict[str, Prepared] = {}
    networks: dict[tuple, Network] = {}
    for setting in settings():
        asked = all(part in setting.name for part in arguments.only)
        if not asked or (arguments.output / "counts" / f"{setting.name}.npz").exists():
            continue
        if time.monotonic() > end:
            break
        if setting.data not in prepared:
            prepared[setting.data] = Prepared(arguments.data, setting.data)
        images = prepared[setting.data]
        key = (setting.method, images.all.images.shape[1:], images.classes)
        if key not in networks:
            networks[key] = Network(*key)
        print(setting.name, flush=True)
        run(setting, images, networks[key], arguments.output)


if __name__ == "__main__":
    main()
