from dataclasses import replace

import keras
import nibabel
import numpy as np
import pytest
from scipy.special import expit, softmax

from keras_robust import data
from keras_robust.inference import Ensemble, PlannedPredictor, Predictor, predict
from keras_robust.models import UNet
from keras_robust.planning import make_plan
from keras_robust.planning.fingerprint import fingerprint

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


FLIPPED = np.array([[-1, 0, 0, 23], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Two volumes turned and thick along their last axis, with a black frame and two classes."""
    folder = tmp_path_factory.mktemp("volumes")
    generator = np.random.default_rng(0)
    for number in range(2):
        image = np.zeros((24, 20, 8), np.float32)
        image[3:21, 2:18] = generator.normal(100, 20, (18, 16, 8))
        labels = np.zeros(image.shape, np.uint8)
        labels[8:14, 8:14, 2:6], labels[10:12, 10:12, 3:5] = 1, 2
        affine = np.array([[0, -2.0, 0, 5], [2, 0, 0, 7], [0, 0, 6.0, 9], [0, 0, 0, 1]])
        for name, array in {"image": image, "mask": labels}.items():
            volume = nibabel.Nifti1Image(array, affine)
            volume.header.set_xyzt_units("mm", "sec")
            volume.to_filename(folder / f"{name}{number}.nii.gz")
    rows = [f"c{n},image{n}.nii.gz,mask{n}.nii.gz,ann,test" for n in range(2)]
    (folder / "manifest.csv").write_text("id,image,mask,annotator,split\n" + "\n".join(rows))
    (folder / "dataset.json").write_text('{"labels": {"background": 0, "a": 1, "b": 2}}')
    return data.Dataset.open(folder)


@pytest.fixture(scope="module")
def plan_and_found(volumes):
    found = fingerprint(volumes)
    plan = make_plan(found, memory_gib=1)
    return plan.model_copy(update={"patch_size": (8, 16, 16), "spacing_mm": (6.0, 2.0, 2.0)}), found


@pytest.fixture(scope="module")
def model():
    return UNet((8, 16, 16, 1), classes=3, features=2, depth=1)


def test_a_covering_window_gives_the_networks_own_values(model, plan_and_found):
    plan, found = plan_and_found
    plan = plan.model_copy(update={"normalization": ("none",), "axes": (0, 1, 2)})
    plan = plan.model_copy(update={"spacing_mm": (1.0, 1.0, 1.0)})
    image = np.random.default_rng(0).normal(size=(8, 16, 16, 1)).astype("float32")
    predictor = PlannedPredictor(model, plan, found, mirror_axes=())
    expected = model.predict_on_batch(image[np.newaxis])[0]
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=1e-6)


def test_channels_that_lie_elsewhere_are_not_predicted(volumes, model, plan_and_found, tmp_path):
    image = nibabel.load(volumes.cases[0].image)
    flipped = nibabel.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine @ FLIPPED)
    flipped.to_filename(tmp_path / "flipped.nii.gz")
    case = volumes.cases[0]
    case = replace(case, channels=(case.image, tmp_path / "flipped.nii.gz"))
    with pytest.raises(ValueError, match="case 'c0'.*flipped.nii.gz.*orientation"):
        list(PlannedPredictor(model, *plan_and_found, mirror_axes=()).cases([case]))


def test_masks_lie_where_the_images_lie(volumes, model, plan_and_found, tmp_path):
    seen = []
    predictor = PlannedPredictor(model, *plan_and_found, mirror_axes=())
    predict(predictor, volumes, tmp_path, probabilities=True, progress=lambda *c: seen.append(c))
    assert seen == [(1, 2), (2, 2)]
    for case, probabilities in predictor.cases(volumes):
        np.testing.assert_allclose(probabilities.sum(axis=-1), 1, atol=1e-5)
        mask, image = (nibabel.load(p) for p in (tmp_path / f"{case.id}.nii.gz", case.image))
        np.testing.assert_array_equal(mask.affine, image.affine)
        assert mask.header["qform_code"] == image.header["qform_code"]
        assert mask.header["xyzt_units"] == image.header["xyzt_units"]
        np.testing.assert_array_equal(np.asarray(mask.dataobj), probabilities.argmax(axis=-1))
        frame = volumes.read_image(case)[..., 0] == 0
        assert (probabilities[frame] == [1, 0, 0]).all()
    for name in ("c0_0", "c0_2"):
        assert (tmp_path / "probabilities" / f"{name}.nii.gz").is_file()


def logits_and_mean(models, image):
    """The mean of what stands before the softmax of networks."""
    logits = [
        keras.Model(model.inputs, model.get_layer("logits").output).predict_on_batch(image)
        for model in models
    ]
    return np.mean(logits, axis=0)


@pytest.mark.parametrize("classes", [1, 3])
def test_an_ensemble_of_one_plan_is_the_mean_of_logits(classes, plan_and_found):
    plan, found = plan_and_found
    changes = {"normalization": ("none",), "axes": (0, 1, 2), "spacing_mm": (1.0, 1.0, 1.0)}
    plan = plan.model_copy(update=changes)
    networks = [UNet((8, 16, 16, 1), classes=classes, features=2, depth=1) for _ in range(3)]
    image = np.random.default_rng(0).normal(size=(8, 16, 16, 1)).astype("float32")
    # Sure beyond what a probability of float32 can tell.
    networks[0].get_layer("logits").set_weights(
        [100 * weights for weights in networks[0].get_layer("logits").get_weights()]
    )
    mean = logits_and_mean(networks, image[np.newaxis])[0]
    expected = expit(mean) if classes == 1 else softmax(mean, axis=-1)
    members = [PlannedPredictor(network, plan, found, mirror_axes=()) for network in networks]
    for order in (members, members[::-1]):
        ensemble = Ensemble(order)
        assert len(ensemble.members) == 1
        np.testing.assert_allclose(ensemble.probabilities(image), expected, atol=1e-5)
    assert abs(expected - members[0].probabilities(image)).max() > 0.01


def test_an_ensemble_of_whole_images_is_the_mean_of_logits():
    networks = [UNet((16, 16, 3), features=2, depth=1) for _ in range(2)]
    image = np.random.default_rng(0).normal(size=(16, 16, 3)).astype("float32")
    found = Ensemble([Predictor(network, "none") for network in networks]).probabilities(image)
    mean = logits_and_mean(networks, image[np.newaxis])[0]
    np.testing.assert_allclose(found, expit(mean), atol=1e-6)


def test_logits_of_a_foreign_network_are_those_of_its_probabilities(plan_and_found):
    """A network whose last layer is its own: of 0.8 and 0.5 the mean logit is log(4) / 2."""
    plan, found = plan_and_found
    inputs = keras.Input((8, 16, 16, 1))
    networks = [
        keras.Model(inputs, keras.layers.Lambda(lambda x, p=p: 0 * x + p)(inputs))
        for p in (0.8, 0.5)
    ]
    predictor = PlannedPredictor(networks, plan, found, mirror_axes=())
    image = np.ones((16, 16, 8, 1), np.float32)
    np.testing.assert_allclose(predictor.probabilities(image), expit(np.log(4) / 2), atol=1e-6)


def test_plans_that_differ_are_averaged_as_probabilities(volumes, model, plan_and_found):
    plan, found = plan_and_found
    one = PlannedPredictor(model, plan, found, mirror_axes=())
    # Another network with another plan, whose values do not depend on the image.
    inputs = keras.Input((4, 8, 8, 1))
    outputs = keras.layers.Lambda(lambda x: keras.ops.concatenate([0 * x, 0 * x, 0 * x + 1], -1))
    constant = keras.Model(inputs, outputs(inputs))
    other = PlannedPredictor(
        constant, plan.model_copy(update={"patch_size": (4, 8, 8)}), found, mirror_axes=()
    )
    both = Ensemble([one, other])
    for (case, found_mean), (_, alone) in zip(both.cases(volumes), one.cases(volumes), strict=True):
        frame = volumes.read_image(case)[..., 0] == 0
        expected = (alone + np.where(frame[..., None], [1.0, 0, 0], [0.0, 0, 1])) / 2
        np.testing.assert_allclose(found_mean, expected, atol=1e-5)
        image = volumes.read_image(case)
        np.testing.assert_array_equal(both.probabilities(image, case.spacing), found_mean)


def test_an_ensemble_has_members_of_the_same_classes():
    def always(channels):
        class Fixed:
            regions = ()

            def probabilities(self, image, spacing_mm=None):
                return np.ones((4, 4, channels), np.float32)

        return Fixed()

    with pytest.raises(ValueError, match="same classes. Received: 1 and 3 channels"):
        Ensemble([always(1), always(3)]).probabilities(np.zeros((4, 4, 1)))
    with pytest.raises(ValueError, match="at least one predictor"):
        Ensemble([])


def test_a_model_of_another_size_is_refused(model, plan_and_found):
    plan, found = plan_and_found
    with pytest.raises(ValueError, match=r"takes \(8, 8, 8, 1\), patches"):
        PlannedPredictor(model, plan.model_copy(update={"patch_size": (8, 8, 8)}), found)


def test_values_that_are_not_finite_are_refused(volumes, model, plan_and_found, tmp_path):
    image = np.full((8, 8, 8), np.nan, np.float32)
    nibabel.Nifti1Image(image, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    case = data.Case("a", tmp_path / "a.nii.gz", None, "", "")
    with pytest.raises(ValueError, match="Received: NaN or infinity in a.nii.gz"):
        list(PlannedPredictor(model, *plan_and_found).cases([case]))


def test_an_image_with_other_channels_is_named(volumes, model, plan_and_found):
    case = volumes.cases[0]
    twice = data.Case("twice", case.image, None, "", "", channels=(case.image, case.image))
    with pytest.raises(ValueError, match="Case 'twice' cannot be predicted.*1 channels, as plan"):
        list(PlannedPredictor(model, *plan_and_found).cases([twice]))
