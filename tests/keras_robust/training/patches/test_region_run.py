"""A run by a plan that learns regions, a sigmoid each."""

import csv
import json
import shutil

import numpy as np
import pytest

from keras_robust.data import Dataset, read_mask
from keras_robust.inference import Ensemble, evaluate_run, load_predictor, predict
from keras_robust.models import UNet, build_network, register_network
from keras_robust.training import SelectionConfig, train
from keras_robust.training.patches.patches import _of_regions
from tests.keras_robust.training.patches.test_run import change

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

REGIONS = ((1, (1, 2)), (2, (2,)))


@pytest.fixture(scope="module")
def region_run(volumes, planned_config, tmp_path_factory):
    """The volumes again, the core as a part of the organ; T-Loss, so that ν trains as well."""
    folder = tmp_path_factory.mktemp("regions")
    root = shutil.copytree(volumes[0].root, folder / "data")
    labels = {"back": 0, "organ": [1, 2], "core": 2}
    meta = {"labels": labels, "regions_class_order": [1, 2]}
    (root / "dataset.json").write_text(json.dumps(meta))
    config = change(
        planned_config,
        data={"path": root, "fold": (0, 2)},
        plan={"regions": True, "validation_steps": 1},
        loss="t+dice",
        epochs=1,
    )
    return train(config, folder / "run")


def test_each_region_has_a_channel_and_a_dice(region_run):
    assert region_run.plan[0].regions == REGIONS
    model = region_run.load_model()
    assert model.output_shape == (None, 8, 16, 16, 2)
    image = np.random.default_rng(0).normal(size=(1, 8, 16, 16, 1)).astype("float32")
    assert (np.abs(model.predict_on_batch(image).sum(axis=-1) - 1) > 0.01).any()
    (row,) = region_run.history
    assert row["nu_tilde"] != 0
    for name in ("pseudo_dice_train", "pseudo_dice_val"):
        of_regions = [row[f"{name}_{number}"] for number in (1, 2)]
        assert row[name] == pytest.approx(np.mean(of_regions), abs=1e-6)


def test_it_is_scored_by_what_is_painted(region_run, tmp_path):
    result = evaluate_run(region_run.folder)
    with open(region_run.folder / "test.csv") as file:
        expected = {row["id"]: float(row["dice"]) for row in csv.DictReader(file)}
    assert result.per_image == pytest.approx(expected)
    assert {row.label for row in result.rows} == {"1", "2", "organ"}
    predictor = Ensemble([load_predictor(region_run.folder)] * 2)
    dataset = Dataset.open(region_run.config.data.path).select(annotator="expert")
    few = dataset.select(ids=sorted(expected)[:1])
    predict(predictor, few, tmp_path)
    ((case, probabilities),) = predictor.cases(few)
    written = read_mask(tmp_path / f"{case.id}.nii.gz", classes=3)
    assert probabilities.shape == (*written.shape, 3)
    organ = probabilities[..., 1] + probabilities[..., 2] > 0.5
    painted = np.where(probabilities[..., 2] > 0.5, 2, organ)
    np.testing.assert_array_equal(written, painted)


def test_every_voxel_of_a_region_is_as_likely():
    """Of 900 voxels of the organ 10 are stored, as many as of the 100 of the core."""
    voxels = {label: np.full((10, 2), label) for label in (1, 2)}
    generator = np.random.default_rng(0)
    drawn = [_of_regions(voxels, {1: 900, 2: 100}, REGIONS, generator) for _ in range(1000)]
    assert all(found[2] is voxels[2] for found in drawn)
    in_core = sum(found[1] is voxels[2] for found in drawn)
    assert 70 < in_core < 130  # 100 expected, with a deviation of 9.5
    assert list(_of_regions({1: voxels[1]}, {1: 900}, REGIONS, generator)) == [1]


def test_what_makes_no_sense_is_refused(region_run, planned_config, tmp_path):
    config = region_run.config.model_copy(update={"selection": SelectionConfig(name="cot")})
    with pytest.raises(ValueError, match="two peers choose"):
        train(config, tmp_path / "a")
    with pytest.raises(ValueError, match="regions_class_order"):
        train(change(planned_config, plan={"regions": True}), tmp_path / "b")
    register_network("without_regions")(lambda input_shape, classes: UNet(input_shape, classes))
    with pytest.raises(ValueError, match=r"plan\.regions"):
        build_network("without_regions", (8, 8, 1), 2, regions=True)
    others = load_predictor(region_run.folder)
    others.regions = ()
    with pytest.raises(ValueError, match="same regions"):
        Ensemble([load_predictor(region_run.folder), others])
