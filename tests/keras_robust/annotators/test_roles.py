import shutil

import pytest

from keras_robust.annotators import clean_annotator, simulate_dataset, simulated_annotators
from keras_robust.annotators.roles import REFINED_JOURNAL
from keras_robust.data import Dataset
from keras_robust.noise import LabelNoise
from keras_robust.training import DataConfig
from keras_robust.training.choosing import choose_annotators


@pytest.fixture
def several(build):
    """Two people and two simulations, one of them known by its journal alone."""
    root = build.manifest()
    noise = LabelNoise(alpha=1, beta=0.5)
    simulate_dataset(root, noise)
    simulate_dataset(root, noise, annotator="careless")
    manifest = root / "manifest.csv"
    lines = manifest.read_text().splitlines()
    shutil.copytree(root / "masks", root / "masks-b", ignore=shutil.ignore_patterns("*.jsonl"))
    lines += [
        line.replace("masks/", "masks-b/").replace("isic_gt", "second")
        for line in lines
        if "isic_gt" in line
    ]
    return root, "\n".join(lines) + "\n"


def test_journal_or_name_tell_a_simulation(several):
    dataset = Dataset.open(several[0])
    assert simulated_annotators(dataset) == ("careless", "noisy-a1-b0.5-s0")
    assert clean_annotator(dataset) == clean_annotator(dataset, "careless") == "isic_gt"


def test_of_several_people_the_one_trained_on_is_clean(several):
    root, manifest = several
    (root / "manifest.csv").write_text(manifest)
    dataset = Dataset.open(root)
    assert clean_annotator(dataset) is None
    chosen = choose_annotators(dataset, DataConfig(path=root, annotator="second"))
    assert chosen == ("second", "second")
    for annotator in (None, "careless"):
        with pytest.raises(ValueError, match="--clean-annotator NAME"):
            choose_annotators(dataset, DataConfig(path=root, annotator=annotator))
    with pytest.raises(ValueError, match="annotator='nobody'.*--annotator NAME"):
        choose_annotators(dataset, DataConfig(path=root, annotator="nobody"))
    config = DataConfig(path=root, annotator="careless", clean_annotator="second")
    assert choose_annotators(dataset, config) == ("careless", "second")


def test_targets_of_a_refined_training_are_nobody_to_measure_against(several):
    root, manifest = several
    (root / "manifest.csv").write_text(manifest)
    mask = next(case.mask for case in Dataset.open(root).select(annotator="second"))
    (mask.parent / REFINED_JOURNAL).write_text("{}\n")
    dataset = Dataset.open(root)
    assert clean_annotator(dataset) == clean_annotator(dataset, "second") == "isic_gt"
