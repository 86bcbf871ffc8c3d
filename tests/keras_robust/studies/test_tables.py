import json
import math
from pathlib import Path

import pytest

from keras_robust.reports import names as labels
from keras_robust.scheduling.records import RunRecord, find_runs, read_status
from keras_robust.studies import tables
from keras_robust.training.records.finished import record_of

from .conftest import EPOCHS, LEVELS, write_run


def test_labels_are_those_of_the_paper():
    names = ["t", "gce", "mae", "rce", "sce", "nce", "ngce", "nce+rce", "ngce+mae", "ce+dice"]
    assert [labels.loss_label(name) for name in names] == [
        "T-Loss", "GCE", "MAE", "RCE", "SCE", "NCE", "NGCE", "NCE+RCE", "NGCE+MAE", "CE+Dice",
    ]  # fmt: skip
    assert labels.loss_label("gce", {"q": 0.5}) == "GCE (q=0.5)"


def test_no_two_losses_look_alike():
    names = [labels.loss_label(n) for n in ("t", "mae", "rce", "nce", "ngce", "gce", "sce", "ce")]
    names += ["Dice", "CE+Dice", "NCE+RCE", "NGCE+MAE", "NGCE+RCE", "APL1", "APL2", "T-Loss (x)"]
    names += ["T-Loss+Dice", "T-Loss+Dice, StoCoT"]  # more than T-Loss has colours
    styles = labels.line_styles(names)
    looks = {(style["color"], str(style["linestyle"])) for style in styles.values()}
    assert len(looks) == len(names)


def test_notation():
    # 0.755, 0.761, 0.767: mean 0.761, deviations -6, 0, 6 thousandths, variance 72/2 = 36.
    assert tables.notation([0.755, 0.761, 0.767]) == "0.761(6)"
    assert tables.notation([0.5, 0.6, math.nan]) == "0.550(71)"
    assert tables.notation([0.9, 0.9, 0.9], star=True) == "0.900(0)*"
    assert tables.notation([math.nan]) == "–"


def test_value_of_a_run_is_the_mean_over_its_last_epochs(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    rows = [f"{epoch},{epoch * 3},{0.5 if epoch <= 15 else 0.01 * epoch}" for epoch in range(1, 26)]
    (folder / "history.csv").write_text("epoch,step,dice_test\n" + "\n".join(rows))
    # Epochs 16 to 25: 0.01 * (16 + ... + 25) / 10 = 0.205.
    assert RunRecord.read(folder).mean_of_last() == pytest.approx(0.205)
    (folder / "config.yaml").write_text("evaluate_last: 2\n")
    assert RunRecord.read(folder).mean_of_last() == pytest.approx(0.245)
    assert math.isnan(RunRecord.read(folder).mean_of_last("no_such_column"))


@pytest.mark.parametrize(
    ("plan", "options", "shown"),
    [
        ({"label": "T-Loss (ν̃=2)"}, {"nu_tilde": 2.0}, True),
        ({"label": "T-Loss", "start": False}, {"nu_tilde": 2.0}, True),
        ({"label": "T-Loss"}, {"nu_tilde": 2.0, "event": "voxel"}, True),
        ({"label": "T-Loss"}, {"nu_tilde": 2.0}, False),  # a study of before runs were marked
        ({"label": "T-Loss", "start": True}, {"nu_tilde": 2.0}, False),
    ],
)
def test_only_starts_of_the_study_itself_are_left_out_of_its_table(plan, options, shown):
    config = {"loss": "t", "loss_options": options}
    run = RunRecord(Path("run"), config, {"status": "finished"}, plan)
    assert bool(tables.values_per_setting([run])) is shown


def test_table_of_the_study(study):
    values = tables.values_per_setting(find_runs(study))
    assert list(values) == [(0.0, 0.0), (0.7, 0.7)]
    assert list(values[0.7, 0.7]) == ["CE+Dice", "GCE", "MAE", "NGCE+RCE", "T-Loss"]
    assert values[0.7, 0.7]["GCE"] == pytest.approx([0.684, 0.69, 0.696])
    tests = tables.setting_tests(values)
    table = tables.paper_table(values, tests)
    assert table.loc["T-Loss", "α = 0.7, β = 0.7"] == "0.780(6)*"
    assert table.loc["GCE", "α = 0.7, β = 0.7"] == "0.690(6)"
    assert table.loc["MAE", "α = 0"] == "0.825(4)"
    assert "| T-Loss | 0.825(4) | 0.780(6)* |" in tables.markdown(table)


def test_every_run_has_its_row(study):
    table = tables.run_table(find_runs(study)).set_index("run")
    assert len(table) == 3 * (2 * len(LEVELS) + 4) + 2
    assert table.loc["sce_a0.7_b0.7_s0", "status"] == "failed"
    assert table.loc["sce_a0.7_b0.7_s0", "epochs_done"] == 4
    assert table.loc["sce_a0.7_b0.7_s1", "status"] == "waiting"
    assert table.loc["t_a0.7_b0.7_s0", "epochs_done"] == EPOCHS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", '{"status": "fini'),
        ("run.json", "[]"),
        ("run.json", '{"status": "finished", "results": []}'),
        ("config.yaml", "loss: ["),
        ("config.yaml", "[]"),
        ("config.yaml", "data: 3"),
        ("entry.json", "[]"),
        ("history.csv", ""),
        ("history.csv", "epoch,step,dice_test\n1,1,0.5\n"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_of_the_run_believed(
    tmp_path, study_data, name, content
):
    folder = write_run(tmp_path / "t_a0.7_b0.7_s0", study_data)
    assert RunRecord.read(folder).status == "finished"
    (folder / name).write_text(content)
    record = RunRecord.read(folder)
    assert record.status == read_status(folder) == "damaged"
    assert len(record.history) == 0
    assert str(folder / name) in str(record.damage)


def test_a_history_cut_anywhere_is_not_that_of_the_record(tmp_path, study_data):
    """Every cut, also at the end of a line, and every changed digit is noticed."""
    folder = write_run(tmp_path / "t_a0.7_b0.7_s0", study_data)
    record = RunRecord.read(folder)
    info = record.info | record_of(folder, record.config)
    (folder / "run.json").write_text(json.dumps(info))
    assert RunRecord.read(folder).damage is None
    whole = (folder / "history.csv").read_bytes()
    for cut in (*range(0, len(whole), 97), whole.rindex(b"\n", 0, -1) + 1):
        (folder / "history.csv").write_bytes(whole[:cut])
        assert "history.csv" in str(RunRecord.read(folder).damage)
    (folder / "history.csv").write_bytes(whole.replace(b"0.8", b"0.7", 1))
    assert "SHA-256" in str(RunRecord.read(folder).damage)


def test_the_folder_of_a_plan_is_no_run(tmp_path, study_data):
    run = write_run(tmp_path / "runs/t_a0_b0_s0", study_data, noise=(0, 0), status="waiting")
    (tmp_path / "runs/plan").mkdir()
    (tmp_path / "runs/plan/plan.json").write_text("{}")
    (tmp_path / "runs/plan/config.yaml").write_text("data: {path: lesions}\nplan: {folder: plan}\n")
    assert [found.folder for found in find_runs(tmp_path / "runs")] == [run]


def test_no_runs_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="Train first"):
        find_runs(tmp_path)
