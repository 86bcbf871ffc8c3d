"""Masks to train on, with simulated noise."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Dataset
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.panels import PanelSource, mask_panels
from keras_robust.training import TrainConfig, train
from keras_robust.training.choosing import choose_cases
from keras_robust.training.whole_images.cases import prepare

IGNORED = 255


@pytest.fixture
def dataset(tmp_path):
    """Four training images of a square beside a strip that counts for nothing."""
    root = tmp_path / "data"
    root.mkdir()
    lines = ["id,image,mask,annotator,split"]
    for id in "abcd":
        mask = np.zeros((32, 32), np.uint8)
        mask[8:24, 8:24] = 1
        mask[:, 25:29] = IGNORED
        Image.fromarray(mask).save(root / f"{id}-mask.png")
        Image.fromarray(mask).convert("RGB").save(root / f"{id}.png")
        lines.append(f"{id},{id}.png,{id}-mask.png,clean,train")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    (root / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "lesion": 1, "ignore": IGNORED}})
    )
    return Dataset.open(root)


def test_a_split_that_is_missing_comes_with_remedies(dataset):
    assert len(choose_cases(dataset, "clean", "train", None, 0)) == 4
    with pytest.raises(ValueError, match=r"(?s)train.*split='test'.*data\.test_split=null"):
        choose_cases(dataset, "clean", "test", None, 0)
    manifest = dataset.root / "manifest.csv"
    original = manifest.read_text()
    drawn_in_part(dataset, by_expert="")
    with pytest.raises(ValueError, match=r"split='test'.*the masks of expert.*--clean-annotator"):
        choose_cases(Dataset.open(dataset.root), "student", "test", None, 0)
    manifest.write_text(original.replace(",train", ","))
    with pytest.raises(ValueError, match=r"has none.*keras_robust\.data\.split"):
        choose_cases(Dataset.open(dataset.root), "clean", "train", None, 0)


@pytest.mark.parametrize("cache", ["none", "memory"])
@pytest.mark.parametrize("kind", ["dilate", "erode", "affine", "object_added", "other_case"])
def test_noise_leaves_the_ignored_region_alone(dataset, tmp_path, cache, kind):
    assert dataset.ignore_label == IGNORED
    data = {"path": dataset.root, "size": (32, 32), "test_split": None, "cache": cache}
    noise = {"alpha": 1, "beta": 0.9, "kinds": (kind,)}
    config = TrainConfig(data=data, noise=noise)
    folder = tmp_path / "run"
    if kind == "other_case":  # that of another square would be the same
        for number, id in enumerate("abcd"):
            mask = np.array(Image.open(dataset.root / f"{id}-mask.png"))
            mask[number, 8:24] = 1
            Image.fromarray(mask).save(dataset.root / f"{id}-mask.png")
    prepared = prepare(dataset, config, folder, lambda done, total: None)
    (folder / "config.yaml").write_text(config.to_yaml())
    panels = PanelSource(RunRecord.read(folder))
    for index, id in enumerate(prepared.train.ids):
        noisy, clean = prepared.train.mask(index), prepared.train_clean.mask(index)
        np.testing.assert_array_equal(noisy == IGNORED, clean == IGNORED)
        assert (noisy != clean).any()
        np.testing.assert_array_equal(panels.noisy(id), noisy == 1)
        np.testing.assert_array_equal(panels.clean(id), clean == 1)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_folds_train_on_the_rest_and_keep_groups_together(dataset, tmp_path, cache):
    manifest = dataset.root / "manifest.csv"
    rows = manifest.read_text().split()
    # The split is of no account: c is in another one. a and b are of one patient.
    rows = [f"{row},{group}" for row, group in zip(rows, ["group", "p", "p", "", "q"], strict=True)]
    manifest.write_text("\n".join(rows).replace("c-mask.png,clean,train", "c-mask.png,clean,test"))
    held_out = []
    for fold in range(3):
        data = {"path": dataset.root, "size": (32, 32), "train_split": None, "fold": (fold, 3)}
        config = TrainConfig(data=data | {"cache": cache})
        prepared = prepare(Dataset.open(dataset.root), config, tmp_path, lambda done, total: None)
        assert sorted(prepared.train.ids + prepared.test.ids) == list("abcd")
        held_out.append("".join(prepared.test.ids))
    assert sorted(held_out) == ["ab", "c", "d"]


def test_a_fold_is_one_of_several():
    with pytest.raises(ValueError, match="0 <= k < n"):
        TrainConfig(data={"path": "x", "fold": (3, 3)})


def drawn_in_part(dataset, by_expert):
    """The student draws every training image, the expert some, and the test image d."""
    lines = ["id,image,mask,annotator,split"]
    for id in "abcd":
        split = "test" if id == "d" else "train"
        for annotator in ("student", "expert"):
            if id in (by_expert + "d" if annotator == "expert" else "abc"):
                lines.append(f"{id},{id}.png,{id}-mask.png,{annotator},{split}")
    (dataset.root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return Dataset.open(dataset.root)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_images_are_compared_with_the_clean_masks_there_are(dataset, tmp_path, cache):
    Image.new("RGB", (32, 32), "red").save(dataset.root / "c.png")
    dataset = drawn_in_part(dataset, by_expert="ac")
    data = {"path": dataset.root, "size": (8, 8), "annotator": "student", "cache": cache}
    config = TrainConfig(data={**data, "clean_annotator": "expert"})
    prepared = prepare(dataset, config, tmp_path, lambda done, total: None)
    assert prepared.train.ids == ("a", "b", "c")
    assert prepared.train_clean.ids == ("a", "c")
    assert (prepared.train_clean.image(1) == prepared.train.image(2)).all()
    assert (prepared.train_clean.image(0) != prepared.train_clean.image(1)).any()
    folds = {**data, "clean_annotator": "expert", "train_split": None, "fold": (1, 3)}
    dataset = drawn_in_part(dataset, by_expert="")
    with pytest.raises(ValueError, match="`clean_annotator`.*fold"):
        prepare(dataset, TrainConfig(data=folds), tmp_path, lambda done, total: None)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_clean_masks_of_the_test_images_alone_are_enough(dataset, tmp_path):
    dataset = drawn_in_part(dataset, by_expert="")
    data = {"path": dataset.root, "size": (8, 8), "annotator": "student"}
    run = train(
        TrainConfig(
            data={**data, "clean_annotator": "expert", "cache": "memory"},
            loss="ce",
            model={"features": 2, "depth": 0},
            epochs=1,
            tensorboard=False,
        ),
        tmp_path / "run",
    )
    assert run.history[0]["dice_train"] is None
    assert run.results["dice_test"] == run.history[0]["dice_test"]
    assert {path.stem for path in (run.folder / "predictions").iterdir()} == {"a", "d"}
    (shown,) = {axis.get_ylabel() for axis in mask_panels([RunRecord.read(run.folder)]).axes} - {""}
    assert shown == "test"  # of image a there is no clean mask to compare with
