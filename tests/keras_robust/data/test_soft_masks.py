"""Annotators whose masks are probabilities."""

import json

import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Dataset, simulate_dataset, verify
from keras_robust.data.manifest_writing import add_soft_annotator, append_rows, write_view
from keras_robust.noise import LabelNoise


@pytest.fixture
def soft(build):
    """A manifest folder with the annotator `soft`, whose masks are ramps from 0 to 1."""
    home = build.manifest()
    cases = Dataset.open(home).cases
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    for case in cases:
        target = home / "masks" / "soft" / f"{case.id}.png"
        target.parent.mkdir(exist_ok=True)
        Image.fromarray(ramp).save(target)
    add_soft_annotator(home, "soft")
    append_rows(home, cases, "soft")
    return home


def test_soft_masks_are_probabilities_to_train_on_and_labels_to_compare(soft):
    dataset = Dataset.open(soft)
    assert dataset.soft_annotators == ("soft",)
    case = dataset.select(annotator="soft").cases[0]
    target, labels = dataset.read_target(case), dataset.read_mask(case)
    assert target.dtype == np.float32 and labels.dtype == np.uint8
    np.testing.assert_allclose(target[0], np.arange(256) / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, target > 0.5)
    assert 0 < dataset.read_target(case, (32, 32)).min() < 0.02  # resized by averaging
    other = dataset.select(annotator="isic_gt").cases[0]
    np.testing.assert_array_equal(dataset.read_target(other), dataset.read_mask(other))
    assert dataset.read_target(other).dtype == np.uint8


def test_a_soft_dataset_is_sound_and_keeps_its_other_keys(soft):
    report = verify(soft)
    assert report.ok, report.text()
    meta = json.loads((soft / "dataset.json").read_text())
    (soft / "dataset.json").write_text(json.dumps({**meta, "name": "mine"}))
    add_soft_annotator(soft, "soft")
    add_soft_annotator(soft, "softer")
    known = json.loads((soft / "dataset.json").read_text())
    assert known == {"name": "mine", "soft": ["soft", "softer"]}


def test_a_view_knows_soft_annotators_and_takes_more(soft, tmp_path):
    dataset = Dataset.open(soft)
    view = write_view(dataset, tmp_path / "view")
    assert Dataset.open(view).soft_annotators == ("soft",)
    add_soft_annotator(view, "another")
    write_view(dataset, view)  # the same view, once more
    noise = LabelNoise(alpha=0.5, beta=0.5)
    simulate_dataset(soft, noise, source="isic_gt", output=view)
    assert Dataset.open(view).soft_annotators == ("soft", "another")


@pytest.mark.parametrize("soft", ["consensus", [1], {"a": 1}])
def test_soft_must_be_a_list_of_names(build, soft):
    home = build.manifest()
    (home / "dataset.json").write_text(json.dumps({"soft": soft}))
    with pytest.raises(ValueError, match="`soft` as a list of annotators"):
        Dataset.open(home)


def test_soft_masks_are_of_two_classes_and_one_channel(soft):
    labels = {"background": 0, "a": 1, "b": 2}
    (soft / "dataset.json").write_text(json.dumps({"soft": ["soft"], "labels": labels}))
    with pytest.raises(ValueError, match="two classes"):
        Dataset.open(soft)
    (soft / "dataset.json").write_text(json.dumps({"soft": ["soft"]}))
    dataset = Dataset.open(soft).select(annotator="soft")
    Image.new("RGB", (256, 256), (1, 2, 3)).save(dataset.cases[0].mask)
    with pytest.raises(ValueError, match="one channel of 0 to 255.*3 channels"):
        dataset.read_mask(dataset.cases[0])
