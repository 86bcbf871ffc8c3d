"""Run folders as they are read."""

import pytest
import yaml

from keras_robust.common.artefacts import DamagedFileError
from keras_robust.scheduling.records import RunRecord

CONFIG = {"data": {"path": "x"}, "epochs": 12, "seed": 0, "noise": {"alpha": 0.7, "beta": 0.5}}


def read(folder, config):
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return RunRecord.read(folder)


def test_a_configuration_is_read(tmp_path):
    run = read(tmp_path, CONFIG)
    assert run.unread is None
    assert (run.epochs, run.seed, run.setting) == (12, 0, (0.7, 0.5))


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": None},
        {"seed": "three"},
        {"evaluate_last": 1.5},
        {"data": ["x"]},
        {"noise": {"alpha": None}},
        {"noise": {"beta": {}}},
    ],
)
def test_a_field_of_another_type_is_damage_that_is_named(tmp_path, changed):
    run = read(tmp_path, CONFIG | changed)
    (name,) = changed if "noise" not in changed else changed["noise"]
    assert run.status == "damaged" and repr(name) in str(run.damage)
    assert (run.epochs, run.seed, run.last_epochs, run.setting) == (0, 0, 10, (0.0, 0.0))


@pytest.mark.parametrize("column", ["epoch", "step", "dice_test"])
def test_a_history_of_what_is_no_number_is_damaged(tmp_path, column):
    row = {"epoch": "1", "step": "4", "dice_test": "0.5"} | {column: "[[["}
    lines = ["epoch,step,dice_test", "2,8,", ",".join(row.values())]
    (tmp_path / "history.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DamagedFileError, match=f"{column}.*no number"):
        _ = read(tmp_path, CONFIG).history


def test_a_history_of_a_run_that_has_just_begun_is_empty(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,step,dice_test\n")
    assert read(tmp_path, CONFIG).history.empty
