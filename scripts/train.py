"""Train on a dataset folder with imperfect masks: plain Keras, with T-Loss in `compile`.

python scripts/train.py                                # the packaged dermoscopy images
python scripts/train.py DATASET --epochs 50 --size 256
"""

import argparse

import keras

from keras_robust import TLoss, data, models, noise, training
from keras_robust.training.evaluation import Evaluator
from keras_robust.training.source import DiskSource, MemorySource
from keras_robust.training.whole_images.stream import training_stream


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", nargs="?", default=data.sample_path())
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=0.7, help="fraction of masks to corrupt")
    parser.add_argument("--beta", type=float, default=0.7, help="relative change of their area")
    parser.add_argument("--output", default="model.keras")
    options = parser.parse_args()

    # Images and masks; leave MemorySource out to stream a large dataset from disk.
    dataset = data.Dataset.open(options.dataset)
    size = (options.size, options.size)
    train = MemorySource.of(DiskSource(dataset.select(split="train"), size))
    test = MemorySource.of(DiskSource(dataset.select(split="test"), size))

    # Your own masks are imperfect already; here they are made so.
    simulated = noise.LabelNoise(alpha=options.alpha, beta=options.beta, seed=0)
    train.masks, _ = simulated.apply(train.masks, train.ids)

    keras.utils.set_random_seed(0)
    model = models.UNet((*size, 3), classes=1, features=8, max_features=128)
    loss = TLoss()
    model.compile(keras.optimizers.Adam(1e-3), loss=loss, jit_compile=False)
    model.fit(
        training_stream(train, batch_size=options.batch_size, seed=0),
        epochs=options.epochs,
        steps_per_epoch=len(train.ids) // options.batch_size,
        shuffle=False,
        callbacks=[training.NuLogger()],
        verbose=2,
    )
    model.save(options.output)

    scores = Evaluator(model, test, batch_size=8).scores()
    print(f"Dice against clean test masks: {scores.per_image.mean():.3f} (nu = {loss.nu:.3g})")
    print(f"Predict: keras-robust predict {options.dataset} {options.output} --output masks")


if __name__ == "__main__":
    main()
