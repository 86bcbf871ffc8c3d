"""What `predict` writes is continued, shared among machines, and never mixed."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_robust.data import Dataset, Part
from keras_robust.inference import predict
from keras_robust.models import UNet


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in "ab":
        keras.utils.set_random_seed(ord(name))
        UNet((16, 16, 3), features=2, depth=1).save(folder / f"{name}.keras")
    return folder


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rows = ["id,image,mask,annotator,split"]
    for number in range(5):
        pixels = np.full((16, 16, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append(f"{number},{number}.png,,,test")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}


def test_what_is_there_is_passed_over_and_what_is_missing_is_made(models, dataset, tmp_path):
    out = predict(models / "a.keras", dataset, tmp_path / "out")
    before = times(out)
    (out / "3.png").unlink()
    predict(models / "a.keras", dataset, out)
    after = times(out)
    assert after.keys() == before.keys() == {f"{number}.png" for number in range(5)}
    assert {name for name in before if after[name] != before[name]} == {"3.png"}


def test_a_kill_between_a_mask_and_its_note_costs_one_mask(models, dataset, tmp_path):
    out = predict(models / "a.keras", dataset, tmp_path / "out")
    journal = out / "predicted-1-of-1.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:7])  # cut in its last line
    before = times(out)
    predict(models / "a.keras", dataset, out)
    assert sum(before[name] != after for name, after in times(out).items()) == 1
    before = times(out)
    predict(models / "a.keras", dataset, out)
    assert times(out) == before


def test_an_image_that_changed_is_predicted_again(models, dataset, tmp_path):
    out = predict(models / "a.keras", dataset, tmp_path / "out")
    before = times(out)
    Image.fromarray(np.full((16, 16, 3), 255, np.uint8)).save(dataset / "2.png")
    predict(models / "a.keras", dataset, out)
    assert {name for name, time in times(out).items() if time != before[name]} == {"2.png"}


def test_parts_write_into_one_folder_what_one_machine_writes(models, dataset, tmp_path):
    whole = predict(models / "a.keras", dataset, tmp_path / "whole")
    for number in (2, 1):
        parts = predict(models / "a.keras", dataset, tmp_path / "parts", part=Part(number, 2))
    assert times(whole).keys() == times(parts).keys()
    for name in times(whole):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_masks_of_other_models_or_of_people_are_kept(models, dataset, tmp_path):
    out = predict(models / "a.keras", dataset, tmp_path / "out")
    before = times(out)
    with pytest.raises(FileExistsError, match="other models.*--overwrite"):
        predict(models / "b.keras", dataset, out)
    for path in out.glob("*.jsonl"):
        path.unlink()
    with pytest.raises(FileExistsError, match="5 masks, the first 0.png"):
        predict(models / "a.keras", dataset, out)
    assert times(out) == before
    predict(models / "b.keras", dataset, out, overwrite=True)
    assert all(time != before[name] for name, time in times(out).items())
    assert len(Dataset.open(dataset)) == 5
