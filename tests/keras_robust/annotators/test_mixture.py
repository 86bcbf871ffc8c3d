import json

import numpy as np
import pytest
from PIL import Image

from keras_robust.annotators import match_annotators, mix_annotators
from keras_robust.data import Dataset


@pytest.fixture
def crowd(tmp_path):
    """Thirty images; annotator k of the crowd of three colours row k, the gold one all rows."""
    root = tmp_path / "cells"
    lines = ["id,image,mask,annotator,split"]
    for number in range(30):
        image = root / f"images/c{number:02d}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5), number, np.uint8)).save(image)
        for name, rows in {"crowd_0": [0], "crowd_1": [1], "crowd_2": [2], "gold": [0, 1]}.items():
            if name == "crowd_2" and number >= 15:
                continue
            mask = np.zeros((4, 5), np.uint8)
            mask[rows] = 255
            path = root / f"masks/{name}/c{number:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(path)
            lines.append(f"c{number:02d},images/{image.name},masks/{name}/{path.name},{name},")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


def owners(dataset):
    """Whose mask each image has, from the row that is coloured."""
    mixed = dataset.select(annotator="mixed")
    return [int(np.flatnonzero(dataset.read_mask(case).any(axis=1))[0]) for case in mixed]


def test_every_image_has_the_mask_of_one_who_drew_it(crowd):
    folder = mix_annotators(crowd, ["crowd_*"])
    found = owners(Dataset.open(crowd))
    assert len(found) == 30 and set(found[:15]) == {0, 1, 2} and set(found[15:]) == {0, 1}
    journal = [json.loads(line) for line in (folder / "mixture.jsonl").read_text().splitlines()[1:]]
    assert [int(record["annotator"][-1]) for record in journal] == found


def test_the_draw_depends_on_seed_and_id_alone(crowd, tmp_path):
    mix_annotators(crowd, ["crowd_*"], output=tmp_path / "a")
    mix_annotators(crowd, ["crowd_2", "crowd_0", "crowd_1"], output=tmp_path / "b")
    mix_annotators(crowd, ["crowd_*"], seed=1, output=tmp_path / "c")
    first, same, other = (owners(Dataset.open(tmp_path / name)) for name in "abc")
    assert first == same != other


def test_again_is_the_same_and_another_seed_is_refused(crowd):
    mix_annotators(crowd, ["crowd_*"])
    before = (crowd / "manifest.csv").read_bytes()
    mix_annotators(crowd, ["crowd_*"])
    assert (crowd / "manifest.csv").read_bytes() == before
    with pytest.raises(FileExistsError, match="seed: 0 there, 1 now"):
        mix_annotators(crowd, ["crowd_*"], seed=1)


def test_a_mixture_is_nobody_who_drew(crowd):
    mix_annotators(crowd, ["crowd_*"])
    drew = match_annotators(Dataset.open(crowd))["all"]
    assert drew == ("crowd_0", "crowd_1", "crowd_2", "gold")


def test_its_own_name_cannot_be_mixed_in(crowd):
    with pytest.raises(ValueError, match="other than those"):
        mix_annotators(crowd, ["gold"], name="gold")
