import csv
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image

from keras_robust import data, metrics
from keras_robust.inference import Predictor, evaluate, predict
from keras_robust.inference.evaluate import _spacing
from keras_robust.models import labels_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def few():
    dataset = data.sample().select(split="test")
    return dataset.select(ids=dataset.ids[:3])


@pytest.fixture(scope="module")
def predictor(trained_run):
    return Predictor.load(trained_run.folder)


def test_masks_have_the_size_of_the_images(predictor, few, tmp_path):
    calls = []
    predict(predictor, few, tmp_path, probabilities=True, progress=lambda *c: calls.append(c))
    for case in few:
        with Image.open(case.image) as image:
            size = (image.height, image.width)
        assert data.read_mask(tmp_path / f"{case.id}.png").shape == size
        probability = np.asarray(Image.open(tmp_path / "probabilities" / f"{case.id}.png"))
        mask = data.read_mask(tmp_path / f"{case.id}.png")
        clear = abs(probability.astype(int) - 127.5) > 1
        np.testing.assert_array_equal((probability > 127)[clear], mask[clear] > 0)
    assert calls[-1] == (3, 3)


def test_predictions_of_the_run_are_those_of_the_predictor(trained_run, predictor):
    path = next((trained_run.folder / "predictions").glob("*.png"))
    dataset = data.sample()
    case = next(case for case in dataset if case.id == path.stem)
    small = predictor.probabilities(dataset.read_image(case, (32, 32)))[..., 0]
    assert abs(np.asarray(Image.open(path)) / 255 - small).max() < 0.003


def test_means_over_mirrored_views_are_mirrored_with_the_image(predictor, few):
    both, image = predictor.mirrored(), few.read_image(few.cases[0], (32, 32))
    found = both.probabilities(image)
    assert abs(found - predictor.probabilities(image)).max() > 1e-3
    for view in (np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1]):
        np.testing.assert_allclose(both.probabilities(image[view]), found[view], atol=1e-5)


def test_one_image_is_predicted_as_in_a_batch(predictor, few):
    for case, probabilities in predictor.cases(few):
        alone = predictor.probabilities(few.read_image(case))
        np.testing.assert_allclose(alone, probabilities, atol=1e-5)


def test_images_of_8_bits_are_predicted_alike_beside_deeper_ones(predictor, few, tmp_path):
    deep = few.cases[0]
    grey = np.asarray(Image.open(deep.image).convert("L"))
    for number in range(3):
        Image.fromarray(grey.astype(np.uint16) * 99).save(tmp_path / f"{number}.png")
    channels = tuple(tmp_path / f"{number}.png" for number in range(3))
    mixed = [replace(deep, image=channels[0], channels=channels), *few.cases[1:]]
    alone = [next(predictor.cases([case]))[1] for case in mixed]
    for (_, found), expected in zip(predictor.cases(mixed), alone, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_keras_file_predicts_as_the_run_does(predictor, few, tmp_path):
    predictor.model.save(tmp_path / "model.keras")
    image = few.read_image(few.cases[0])
    np.testing.assert_allclose(
        Predictor.load(tmp_path / "model.keras").probabilities(image),
        predictor.probabilities(image),
        atol=1e-6,
    )


def test_the_input_of_a_keras_file_can_be_named(few, tmp_path):
    # Says what it is given: the brightest value over 255, through no trained layer.
    inputs = keras.Input((16, 16, 3))
    outputs = keras.layers.GlobalMaxPooling2D(keepdims=True)(inputs)
    outputs = keras.layers.UpSampling2D(16)(keras.layers.Rescaling(1 / 255)(outputs))
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    image = np.full((16, 16, 3), 200, np.uint8)
    for normalize, expected in {"none": 200, "range": 200 / 127.5 - 1, "zscore": 0}.items():
        found = Predictor.load(tmp_path / "model.keras", normalize).probabilities(image)
        np.testing.assert_allclose(found, expected / 255, atol=1e-4)
    with pytest.raises(ValueError, match="normalize='unit'"):
        Predictor.load(tmp_path / "model.keras", "unit")


def test_a_run_knows_its_own_input(trained_run):
    with pytest.raises(ValueError, match="Expected 'range', with which the run was trained"):
        Predictor.load(trained_run.folder, "none")


def test_logits_are_no_probabilities():
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Rescaling(20.0)(inputs))
    with pytest.raises(ValueError, match="End the model with a sigmoid"):
        Predictor(model).probabilities(np.full((16, 16, 3), 200, np.uint8))


def test_nan_is_no_background():
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Rescaling(float("nan"))(inputs))
    with pytest.raises(ValueError, match="from nan to nan.*weights are finite"):
        Predictor(model).probabilities(np.full((16, 16, 3), 200, np.uint8))


def _pixelwise(*size, several=None):
    """A model that says half everywhere: of one output, or of several as `several` holds them."""
    inputs = keras.Input((*size, 1))
    half = keras.layers.Dense(1, "sigmoid", kernel_initializer="zeros")(inputs)
    return keras.Model(inputs, several(half) if several else half)


class _Subclassed(keras.Model):
    def call(self, images):
        return keras.ops.sigmoid(images)


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        (lambda: _Subclassed(), None, "Received: a _Subclassed of the input shape None. Wrap"),
        (lambda: keras.Sequential([keras.layers.Dense(1)]), None, "a Sequential of.*None. Wrap"),
        (lambda: _pixelwise(8), None, r"two or three spatial axes.*\(None, 8, 1\)"),
        (lambda: _pixelwise(None, None), None, r"takes \(None, None\). Received: size=None. Say"),
        (lambda: _pixelwise(None, 8), (8, 4), r"takes \(None, 8\). Received: size=\(8, 4\)"),
        (lambda: _pixelwise(8, 8), (8, 8, 8), r"takes \(8, 8\). Received: size=\(8, 8, 8\)"),
    ],
)
def test_models_of_an_unknown_input_are_refused(model, size, message):
    with pytest.raises(ValueError, match=message):
        Predictor(model(), size=size)


def test_a_model_of_open_size_is_given_one():
    predictor = Predictor(_pixelwise(None, None), size=(8, 4))
    assert predictor.size == (8, 4)
    for kind in ("uint8", "bool", "float16", "int64"):
        np.testing.assert_array_equal(predictor.probabilities(np.ones((5, 6, 1), kind)), 0.5)
    with pytest.raises(ValueError, match=r"one of channels, 1,.*shape=\(5, 6, 3\)"):
        predictor.probabilities(np.ones((5, 6, 3), np.uint8))


def test_of_several_outputs_the_first_is_taken():
    """As the finest of a deeply supervised U-Net."""
    image = np.zeros((8, 8, 1), np.uint8)
    coarse = keras.layers.AveragePooling2D(2)
    model = _pixelwise(8, 8, several=lambda half: [half, coarse(half) * 0])
    np.testing.assert_array_equal(Predictor(model).probabilities(image), np.full((8, 8, 1), 0.5))
    for several, received in (
        (lambda half: {"b": half, "a": half}, r"\['a', 'b'\]"),
        (keras.layers.Flatten(), r"\(1, 64\)"),
    ):
        with pytest.raises(ValueError, match=f"list that begins with it. Received: {received}"):
            Predictor(_pixelwise(8, 8, several=several)).probabilities(image)


@pytest.mark.parametrize("name", ["model.h5", "model.pkl", "missing"])
def test_other_files_are_refused(name, tmp_path):
    (tmp_path / name).mkdir() if name == "missing" else (tmp_path / name).write_bytes(b"")
    with pytest.raises((ValueError, FileNotFoundError), match=r"Expected a run folder.*\.keras"):
        Predictor.load(tmp_path / name)


def test_scores_of_a_run_and_of_its_masks_are_the_same(trained_run, few, tmp_path):
    predict(trained_run.folder, few, tmp_path / "masks")
    of_run, of_masks = evaluate(trained_run.folder, few), evaluate(tmp_path / "masks", few)
    assert of_run == of_masks
    case = few.cases[1]
    mask = data.read_mask(tmp_path / "masks" / f"{case.id}.png")
    assert of_run.per_image[case.id] == metrics.dice(mask, few.read_mask(case))
    assert of_run.mean == pytest.approx(np.mean(list(of_run.per_image.values())))
    of_run.write_csv(tmp_path / "dice.csv")
    assert (tmp_path / "dice.csv").read_text().startswith("id,dice\nISIC")


def test_on_the_grid_of_training_a_run_scores_what_it_says(trained_run, tmp_path):
    with open(trained_run.folder / "test.csv") as file:
        said = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    test = data.sample().select(ids=said)
    there = evaluate(trained_run.folder, test, grid="trained", detailed=True)
    assert there.size == (32, 32)
    assert there.per_image == pytest.approx(said)
    assert there.mean == pytest.approx(trained_run.history[-1]["dice_test"])
    assert there.pooled == pytest.approx(trained_run.history[-1]["dice_test_pooled"])
    stored = evaluate(trained_run.folder, test)
    assert stored.size is None and stored.per_image != pytest.approx(said)
    (tmp_path / "masks").mkdir()
    for where in (tmp_path / "masks", [trained_run.folder] * 2):
        with pytest.raises(ValueError, match="`grid`. Expected 'trained' with one run"):
            evaluate(where, test, grid="trained")
    with pytest.raises(ValueError, match="`grid`. Expected one of"):
        evaluate(trained_run.folder, test, grid="mine")


def test_distances_follow_the_voxels_of_the_grid(tmp_path):
    case = replace(data.sample().cases[0], spacing=(0.5, 0.25))  # an image of 256 x 256
    assert _spacing(case, None) == (0.5, 0.25)
    assert _spacing(case, (128, 64)) == (1.0, 1.0)


def test_the_masks_themselves_score_one(few, tmp_path):
    for case in few:
        (tmp_path / f"{case.id}.png").write_bytes(case.mask.read_bytes())
    result = evaluate(tmp_path, few)
    assert (result.mean, result.std, result.pooled) == (1, 0, 1)


def test_missing_masks_are_named(few, tmp_path):
    with pytest.raises(FileNotFoundError, match=few.ids[0]):
        evaluate(tmp_path, few)


def test_labels():
    assert labels_of(np.array([[[0.5], [0.6]]])).tolist() == [[0, 1]]
    assert labels_of(np.array([[[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]])).tolist() == [[2, 0]]
