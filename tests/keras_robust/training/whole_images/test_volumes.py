"""From volumes with two structures to a trained run, its predictions and their Dice."""

import csv

import keras
import nibabel
import numpy as np
import pytest
import tensorflow as tf

from keras_robust import inference, metrics
from keras_robust.data import Dataset, read_mask, read_volume
from keras_robust.inference import Predictor
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.panels import PanelSource, mask_panels
from keras_robust.training import Run, TrainConfig, train
from keras_robust.training.evaluation import dice_scores, overlap_counts
from keras_robust.training.source import DiskSource, MemorySource
from keras_robust.training.whole_images.augment import augment_batch, draws_per_image
from keras_robust.training.whole_images.intensities import normalize_batch, to_unit_range
from keras_robust.training.whole_images.stream import evaluation_stream, training_stream

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
AFFINE = np.array([[0, -1.5, 0, 9], [1, 0, 0.1, -4], [0.1, 0, 2.5, 3], [0, 0, 0, 1.0]])


def labels(shape, number):
    """Two blocks, the second to the right of the first, at another height for every number."""
    mask = np.zeros(shape, np.uint8)
    a, b, c = shape
    low = number % 3
    mask[low : low + a // 2, b // 8 : b // 2, c // 4 : -c // 4] = 1
    mask[low : low + a // 2, b // 2 : -b // 8, c // 4 : -c // 4] = 2
    return mask


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight volumes of unlike shapes, six of them for training; image values tell the class."""
    folder = tmp_path_factory.mktemp("volumes")
    rows = ["id,image,mask,annotator,split"]
    for number in range(8):
        shape = (12 + number % 2, 16, 10 + number % 3)
        mask = labels(shape, number)
        image = (100 * mask + RNG.normal(0, 5, shape)).astype([np.int16, np.float32][number % 2])
        for name, array in ((f"v{number}.nii.gz", image), (f"m{number}.nii.gz", mask)):
            volume = nibabel.Nifti1Image(array, AFFINE)
            volume.set_sform(AFFINE, 2)
            volume.to_filename(folder / name)
        split = "train" if number < 6 else "test"
        rows.append(f"v{number},v{number}.nii.gz,m{number}.nii.gz,ann,{split}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return TrainConfig(
        data={"path": folder, "size": (12, 16, 8), "cache": "memory"},
        noise={"alpha": 0.5, "beta": 0.5},
        model={"features": 4, "max_features": 8, "depth": 2},
        epochs=2,
        batch_size=2,
        evaluate_last=1,
        save_predictions=1,
        tensorboard=False,
    )


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return train(config, tmp_path_factory.mktemp("run"))


class TestRun:
    def test_the_run_knows_its_volumes_and_classes(self, run):
        assert run.info["image_shape"] == [12, 16, 8, 1] and run.info["classes"] == 3
        assert run.load_model().output_shape == (None, 12, 16, 8, 3)

    def test_figures_are_finite_and_nu_trains(self, run):
        for row in run.history:
            assert np.isfinite(row["loss"]) and 0 <= row["dice_train"] <= 1
        assert run.history[-1]["nu"] != run.history[0]["nu"] != 1

    def test_noise_was_drawn_for_both_structures(self, run):
        noisy = [entry for entry in run.noise if entry.kind != "clean"]
        assert len(noisy) == 3 and all(set(entry.parameters) == {"1", "2"} for entry in noisy)

    def test_test_dice_is_the_mean_over_classes_and_images(self, run, folder):
        model = run.load_model()
        test = Dataset.open(folder).select(split="test")
        scores = []
        for image, mask in evaluation_stream(DiskSource(test, (12, 16, 8)), batch_size=1):
            predicted = np.argmax(model(image), axis=-1)
            scores.append(np.mean(metrics.dice(predicted[0], mask[0, ..., 0], classes=3)))
        assert run.results["dice_test"] == pytest.approx(np.mean(scores), abs=1e-6)
        with open(run.folder / "test.csv") as file:
            assert [float(row["dice"]) for row in csv.DictReader(file)] == pytest.approx(scores)

    def test_predictions_lie_in_the_box_of_the_image(self, run, folder):
        kept = sorted((run.folder / "predictions").iterdir())
        assert len(kept) == 1 + len({entry.kind for entry in run.noise})
        array, affine, header = read_volume(run.folder / "predictions" / "v6.nii.gz")
        assert array.shape == (12, 16, 8) and array.dtype == np.uint8 and array.max() > 0
        image = nibabel.load(folder / "v6.nii.gz")
        for corner in ((0, 0, 0), (1, 1, 1)):
            small = affine @ [*(np.array(array.shape) * corner - 0.5), 1]
            large = image.affine @ [*(np.array(image.shape) * corner - 0.5), 1]
            np.testing.assert_allclose(small, large, atol=1e-4)

    def test_reports_show_the_fullest_slice(self, run, folder):
        source = PanelSource(RunRecord.read(run.folder))
        # Slices across the last axis, whose voxels are longest.
        dataset = Dataset.open(folder).select(ids=["v6"])
        mask = dataset.read_mask(dataset.cases[0], (12, 16, 8)) > 0
        fullest = np.rot90(mask[..., mask.sum((0, 1)).argmax()])
        np.testing.assert_array_equal(source.clean("v6"), fullest)
        assert source.image("v6").shape == (16, 12, 3) and source.noisy("v6") is None
        assert len(mask_panels([RunRecord.read(run.folder)]).axes) >= 3

    def test_streaming_from_disk_gives_the_same_run(self, config, run, tmp_path):
        streamed = config.model_copy(
            update={"data": config.data.model_copy(update={"cache": "none"})}
        )
        again = train(streamed, tmp_path / "run")
        for first, second in zip(run.history, again.history, strict=True):
            assert {**first, "seconds": 0} == {**second, "seconds": 0}
        noisy = read_mask(next((tmp_path / "run" / "noisy_masks").iterdir()), classes=3)
        assert noisy.shape == (12, 16, 8) and noisy.max() == 2


class TestPredictAndEvaluate:
    def test_masks_have_the_grid_and_header_of_their_image(self, run, folder, tmp_path):
        inference.predict(run.folder, folder, tmp_path / "masks", probabilities=True)
        dataset = Dataset.open(folder)
        assert len(list((tmp_path / "masks").glob("*.nii.gz"))) == 8
        assert len(list((tmp_path / "masks").rglob("*.nii.gz"))) == 8 + 8 * 3
        for case in dataset:
            image = nibabel.load(case.image)
            parts = [f"{case.id}.nii.gz"]
            parts += [f"probabilities/{case.id}_{number}.nii.gz" for number in range(3)]
            for part in parts:
                written = nibabel.load(tmp_path / "masks" / part)
                assert written.shape == image.shape and written.get_data_dtype() == np.uint8
                np.testing.assert_array_equal(written.affine, image.affine)
                assert written.header["sform_code"] == 2
        of_run = inference.evaluate(run.folder, folder, split="test")
        of_files = inference.evaluate(tmp_path / "masks", folder, split="test")
        assert of_run == of_files and set(of_run.per_image) == {"v6", "v7"}
        predicted = read_mask(tmp_path / "masks" / "v6.nii.gz", classes=3)
        levels = [
            read_volume(tmp_path / "masks" / "probabilities" / f"v6_{number}.nii.gz")[0]
            for number in range(3)
        ]
        assert np.abs(np.sum(levels, axis=0, dtype=int) - 255).max() <= 2
        top = np.sort(levels, axis=0)
        clear = top[2] > top[1]  # of 8 bits some are level
        np.testing.assert_array_equal(np.argmax(levels, axis=0)[clear], predicted[clear])
        truth = dataset.read_mask(dataset.select(ids=["v6"]).cases[0])
        expected = np.mean(metrics.dice(predicted, truth, classes=3))
        assert of_files.per_image["v6"] == pytest.approx(expected)

    def test_perfect_masks_score_one_and_turned_ones_are_refused(self, folder, tmp_path):
        for case in Dataset.open(folder):
            (tmp_path / f"{case.id}.nii.gz").write_bytes(case.mask.read_bytes())
        assert inference.evaluate(tmp_path, folder).mean == 1
        mask = nibabel.load(folder / "m2.nii.gz")
        turned = nibabel.Nifti1Image(np.asarray(mask.dataobj)[::-1], AFFINE * [-1, 1, 1, 1])
        turned.to_filename(tmp_path / "v2.nii.gz")
        with pytest.raises(ValueError, match=r"lie where the dataset's lie.*v2.*orientation"):
            inference.evaluate(tmp_path, folder)
        (tmp_path / "v2.nii.gz").unlink()
        with pytest.raises(FileNotFoundError, match=r"<id>\.nii\.gz of volumes.*'v2'"):
            inference.evaluate(tmp_path, folder)

    def test_a_volume_in_memory_is_predicted_as_from_its_file(self, run, folder):
        predictor = Predictor.load(run.folder)
        case = Dataset.open(folder).cases[0]
        (_, from_file), *_ = predictor.cases([case])
        stored = read_volume(case.image)[0][..., np.newaxis]
        np.testing.assert_allclose(predictor.probabilities(stored), from_file, atol=1e-5)
        np.testing.assert_allclose(from_file.sum(axis=-1), 1, atol=1e-4)
        with pytest.raises(ValueError, match="3 axes and one of channels"):
            predictor.probabilities(np.zeros((12, 16, 1)))

    def test_what_cannot_be_predicted_is_named(self, run, folder, tmp_path):
        predictor = Predictor.load(run.folder)
        image, affine, _ = read_volume(folder / "v1.nii.gz")
        image[3, 3, 3] = np.nan
        nibabel.Nifti1Image(image, affine).to_filename(tmp_path / "nan.nii.gz")
        (tmp_path / "manifest.csv").write_text(
            "id,image,mask,annotator,split\nbad,nan.nii.gz,,,\nflat,flat.png,,,\n"
        )
        dataset = Dataset.open(tmp_path)
        with pytest.raises(ValueError, match="'bad'.*NaN or infinity in nan.nii.gz"):
            list(predictor.cases(dataset.select(ids=["bad"])))
        with pytest.raises(ValueError, match="'flat'.*3 axes.*flat.png"):
            list(predictor.cases(dataset.select(ids=["flat"])))


def test_losses_per_voxel_and_per_image_learn_from_volumes_of_classes(folder):
    from keras_robust import losses
    from keras_robust.models import UNet

    source = MemorySource.of(DiskSource(Dataset.open(folder), (8, 8, 8)))
    keras.utils.set_random_seed(0)
    model = UNet((8, 8, 8, 1), classes=3, features=4, depth=1)
    model.compile(keras.optimizers.Adam(0.01), loss=losses.get("t+dice"))
    stream = training_stream(source, batch_size=4, seed=0, augment=False)
    options = {"epochs": 4, "steps_per_epoch": 2, "shuffle": False, "verbose": 0}
    history = model.fit(stream, **options).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]


def test_two_sizes_for_volumes_are_refused_with_advice(folder, tmp_path):
    config = TrainConfig(data={"path": folder, "size": (16, 16)}, tensorboard=False)
    with pytest.raises(ValueError, match="`size`.*volume's three sizes.*16, 16"):
        train(config, tmp_path / "run")
    assert Run(tmp_path / "run").status == "failed"


class TestAugmentation:
    images = tf.constant(RNG.uniform(size=(3, 4, 6, 5, 2)), tf.float32)
    masks = tf.constant(RNG.integers(0, 3, (3, 4, 6, 5, 1)), tf.uint8)

    @pytest.mark.parametrize(("number", "axis"), [(0, 1), (1, 2), (4, 3)])
    def test_each_axis_is_mirrored_by_its_own_draw(self, number, axis):
        draws = np.full((3, draws_per_image(3)), 0.9, np.float32)
        draws[1, number] = 0.1
        x, y = augment_batch(self.images, self.masks, tf.constant(draws))
        for before, after in ((self.images, x), (self.masks, y)):
            expected = before.numpy()
            expected[1] = np.flip(expected[1], axis - 1)
            np.testing.assert_array_equal(after, expected)

    def test_normalisation_is_over_the_volume(self):
        z = normalize_batch(to_unit_range(self.images * 1000 - 5), "zscore").numpy()
        np.testing.assert_allclose(z.mean((1, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(z.std((1, 2, 3)), 1, atol=1e-4)
        unit = to_unit_range(self.images * 1000 - 5).numpy()
        assert unit.min((1, 2, 3, 4)).tolist() == [0] * 3
        assert unit.max((1, 2, 3, 4)).tolist() == [1] * 3


def test_dice_of_volumes_is_that_of_metrics():
    probabilities = RNG.dirichlet(np.ones(3), size=(4, 5, 6, 7)).astype("float32")
    masks = RNG.integers(0, 3, (4, 5, 6, 7, 1), dtype=np.uint8)
    found = dice_scores(*(count.numpy() for count in overlap_counts(probabilities, masks)))
    expected = [
        np.mean(metrics.dice(a, b, classes=3))
        for a, b in zip(probabilities.argmax(-1), masks[..., 0], strict=True)
    ]
    np.testing.assert_allclose(found.per_image, expected)
