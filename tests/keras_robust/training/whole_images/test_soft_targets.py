"""Training on the shares of several annotators."""

import keras
import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust import losses
from keras_robust.cli import app
from keras_robust.data import Dataset
from keras_robust.data.layouts.manifest_writing import add_soft_annotator
from keras_robust.training import TrainConfig, train
from keras_robust.training.whole_images.cases import prepare
from keras_robust.training.whole_images.stream import training_stream

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def folder(tmp_path):
    """Six images; an annotator who drew the left half, and shares of 0, 51/255 and 1 in thirds."""
    root = tmp_path / "data"
    root.mkdir()
    lines = ["id,image,mask,annotator,split"]
    drawn = np.zeros((32, 48), np.uint8)
    drawn[:, :24] = 255
    shares = np.repeat(np.array([[0, 51, 255]], np.uint8), 16, axis=1).repeat(32, axis=0)
    for number, id in enumerate("abcdef"):
        Image.fromarray(drawn).save(root / f"{id}-drawn.png")
        Image.fromarray(shares).save(root / f"{id}-shares.png")
        Image.fromarray(np.full((32, 48, 3), 40 * number, np.uint8)).save(root / f"{id}.png")
        split = "train" if id < "e" else "test"
        lines.append(f"{id},{id}.png,{id}-drawn.png,drawn,{split}")
        lines.append(f"{id},{id}.png,{id}-shares.png,shares,{split}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    add_soft_annotator(root, "shares")
    return root


def config(folder, **options):
    data = {"path": folder, "size": (32, 48), "annotator": "shares", "clean_annotator": "drawn"}
    return TrainConfig(
        data=data | {"cache": options.pop("cache", "memory")},
        model={"features": 4, "max_features": 8, "depth": 2},
        epochs=1,
        batch_size=2,
        **options,
    )


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_batches_hold_shares_and_the_clean_masks_labels(folder, tmp_path, cache):
    prepared = prepare(Dataset.open(folder), config(folder, cache=cache), tmp_path, print)
    stream = training_stream(prepared.train, batch_size=4, seed=0)
    images, targets = next(iter(stream.take(1)))
    assert targets.dtype == np.float32 and targets.shape == (4, 32, 48, 1)
    np.testing.assert_allclose(np.unique(targets), [0, 0.2, 1], rtol=1e-6)
    np.testing.assert_allclose(np.mean(targets), (0 + 0.2 + 1) / 3, rtol=1e-6)
    assert prepared.train_clean.mask(0).dtype == np.uint8


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_the_loss_of_a_batch_is_that_of_its_shares(folder, tmp_path, cache):
    # A model that says p = 0.3 everywhere: the cross-entropy of a share s is
    # -s ln 0.3 - (1 - s) ln 0.7, over thirds of 0, 0.2 and 1 with the mean share 0.4:
    # 0.4 * 1.20397 + 0.6 * 0.35667 = 0.69559; the mean absolute error is
    # (0.3 + 0.1 + 0.7) / 3 = 0.36667.
    prepared = prepare(Dataset.open(folder), config(folder, cache=cache), tmp_path, print)
    stream = training_stream(prepared.train, batch_size=4, seed=0)
    images, targets = next(iter(stream.take(1)))
    inputs = keras.Input((32, 48, 3))
    same = keras.layers.Conv2D(
        1, 1, kernel_initializer="zeros", bias_initializer=keras.initializers.Constant(0.3)
    )
    model = keras.Model(inputs, same(inputs))
    for name, expected in (("ce", 0.69559), ("mae", 0.36667)):
        model.compile("sgd", loss=losses.get(name))
        found = float(model.test_on_batch(images, targets))
        assert found == pytest.approx(expected, abs=1e-5), name


@pytest.mark.parametrize("loss", ["t", "ngce+rce"])
def test_training_on_shares_runs_and_scores_against_labels(folder, tmp_path, loss):
    run = train(config(folder, loss=loss), tmp_path / "run")
    assert run.status == "finished" and 0 <= run.results["dice_test"] <= 1


def test_shares_cannot_be_corrupted(folder, tmp_path):
    noisy = config(folder, noise={"alpha": 0.5, "beta": 0.5})
    with pytest.raises(ValueError, match="`noise`.*probabilities.*'shares'"):
        prepare(Dataset.open(folder), noisy, tmp_path, print)


@pytest.fixture(scope="module", params=[(32, 48), (8, 16, 16)], ids=["images", "volumes"])
def classes_folder(request, tmp_path_factory):
    """Six images of three classes: two annotators agree on halves, a third draws the second class
    where the others draw the first; and their shares, written by the command."""
    shape, root = request.param, tmp_path_factory.mktemp("classes")
    drawn = np.zeros(shape, np.uint8)
    drawn[..., shape[-1] // 2 :] = 1
    lines = ["id,image,mask,annotator,split"]
    for number, id in enumerate("abcdef"):
        image = (drawn * 100 + 10 * number).astype(np.uint8)
        for name, array in {"": image, "-x": drawn, "-y": drawn, "-z": 2 * drawn}.items():
            save(root / f"{id}{name}", array)
        suffix = ".png" if len(shape) == 2 else ".nii.gz"
        for name in "xyz":
            split = "train" if id < "e" else "test"
            lines.append(f"{id},{id}{suffix},{id}-{name}{suffix},{name},{split}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    (root / "dataset.json").write_text('{"labels": {"background": 0, "one": 1, "two": 2}}')
    command("agree", root, "--consensus", "soft")
    return root, shape


def save(path, array):
    if array.ndim == 2:
        Image.fromarray(array).save(f"{path}.png")
    else:
        nibabel.Nifti1Image(array, np.diag([-1, 1, 2, 1])).to_filename(f"{path}.nii.gz")


def command(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_batches_hold_the_shares_of_all_classes(classes_folder, tmp_path, cache):
    root, shape = classes_folder
    data = {"path": root, "size": shape, "annotator": "consensus-soft", "clean_annotator": "x"}
    chosen = TrainConfig(data=data | {"cache": cache})
    prepared = prepare(Dataset.open(root), chosen, tmp_path, print)
    targets = np.asarray(next(iter(training_stream(prepared.train, batch_size=4, seed=0)))[1])
    assert targets.dtype == np.float32 and targets.shape == (4, *shape, 3)
    found = {tuple(float(share) for share in target) for target in targets.reshape(-1, 3)}
    assert found == {(1.0, 0.0, 0.0), (0.0, np.float32(170 / 255), np.float32(85 / 255))}
    # A model that says (0.2, 0.5, 0.3) everywhere: the cross-entropy is -ln 0.2 = 1.60944 over one
    # half and -(2 ln 0.5 + ln 0.3) / 3 = 0.86342 over the other, 1.23643 on average.
    said = np.broadcast_to(np.array([0.2, 0.5, 0.3], np.float32), targets.shape)
    assert float(losses.get("ce")(targets, said)) == pytest.approx(1.23643, abs=1e-5)
    for name in losses.names():
        assert np.isfinite(float(losses.get(name)(targets, said))), name
    assert prepared.train_clean.mask(0).dtype == np.uint8


def test_shares_of_classes_from_the_command_to_a_trained_model(classes_folder, tmp_path):
    root, shape = classes_folder
    assert "0 errors" in command("verify", root)
    size = "[" + ",".join(map(str, shape)) + "]"
    options = {"data.size": size, "model.features": 4, "model.depth": 2, "batch_size": 2}
    fields = [f"--set={name}={value}" for name, value in options.items()]
    annotators = ["--annotator", "consensus-soft", "--clean-annotator", "x", "--epochs", 1]
    loss = "t" if len(shape) == 2 else "svls-apl2"
    output = command(
        *("train", root, "--output", tmp_path / "run", "--loss", loss),
        *(*annotators, *fields),
    )
    assert "dice_test:" in output
    # As labels the shares are the annotators' majority, x.
    scores = [
        command("evaluate", tmp_path / "run", root, "--annotator", name)
        for name in ("consensus-soft", "x")
    ]
    assert scores[0] == scores[1]
