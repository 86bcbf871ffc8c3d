"""A whole small study with real training, from the configuration to the report."""

import yaml
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.common.registry import VARIABLE
from keras_robust.data import sample_path
from keras_robust.scheduling.records import RunRecord

STUDY = {
    "base": {
        "data": {"path": str(sample_path()), "size": [32, 32], "train_limit": 8, "test_limit": 4},
        "model": {"name": "own_net", "features": 4, "depth": 2},
        "epochs": 2,
        "batch_size": 4,
        "tensorboard": False,
    },
    "losses": ["own_t"],
    "noise": [[0.7, 0.7]],
    "seeds": [0],
}


OWN = """
from keras_robust import losses, models
@losses.register("own_t")
class OwnT(losses.TLoss):
    pass
models.register_network("own_net")(models.UNet)
"""


def test_study(tmp_path, monkeypatch):
    """The loss and the network are one's own, known to the processes by the environment alone."""
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "own_parts")
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(STUDY))
    runs = tmp_path / "runs"
    call = ["benchmark", str(config), "--output", str(runs), "--threads", "1"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert "1 of 1 runs finished" in result.output
    record = RunRecord.read(runs / "own_t_a0.7_b0.7_s0")
    assert record.status == "finished" and len(record.history) == 2
    assert record.mean_of_last() == record.info["results"]["dice_test"]
    before = (record.folder / "run.json").read_bytes()
    assert CliRunner().invoke(app, call).exit_code == 0
    assert (record.folder / "run.json").read_bytes() == before

    result = CliRunner().invoke(app, ["report", str(runs), "--output", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    found = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"report.html", "figure1.png", "figure2.png", "panels.png", "table.csv"} <= found


def test_unknown_fields_are_refused_before_anything_runs(tmp_path):
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(STUDY | {"base": {**STUDY["base"], "epoch": 3}}))
    result = CliRunner().invoke(app, ["benchmark", str(config), "--output", str(tmp_path / "r")])
    assert result.exit_code == 2 and "epoch" in result.output
    assert not (tmp_path / "r").exists()
