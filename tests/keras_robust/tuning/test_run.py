"""A tuning study with real training, from the command line to the figure of stability."""

import pytest
import yaml
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.common.registry import VARIABLE
from keras_robust.data import sample_path
from keras_robust.training import Run, TrainConfig
from keras_robust.tuning.results import TuningRecord

CONFIG = {
    "data": {"path": str(sample_path()), "size": [32, 32], "train_limit": 8, "fold": [0, 3]},
    "model": {"features": 2, "depth": 1},
    "batch_size": 4,
    "epochs": 7,
}


def test_tune(tmp_path, monkeypatch):
    """The network is one's own, known to the trials by the environment alone."""
    own = "from keras_robust import models\nmodels.register_network('own_net')(models.UNet)\n"
    (tmp_path / "own_parts.py").write_text(own)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "own_parts")
    config = tmp_path / "base.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    folder = tmp_path / "study"
    call = ["tune", "--config", str(config), "--space", "svls", "-o", str(folder), "--trials", "2"]
    call += [
        "--epochs",
        "1",
        "--threads",
        "1",
        "--set",
        "learning_rate=0.01",
        "--set",
        "model.name=own_net",
    ]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert f"keras-robust train --config {folder / 'best.yaml'}" in result.output
    record = TuningRecord.read(folder)
    assert list(record.trials["state"]) == ["finished"] * 2 and record.label == "SVLS"
    for row in record.trials.to_dict("records"):
        run = Run(record.run_folder(row["trial"]))
        assert run.config.loss_options["sigma"] == pytest.approx(row["loss_options.sigma"])
        assert run.history[-1]["dice_train"] == pytest.approx(row["value"])
        assert run.results == {} and not (run.folder / "test.csv").exists()  # nothing held out
    best = TrainConfig.load(folder / "best.yaml")
    assert best.epochs == 7 and best.learning_rate == 0.01 and best.evaluate_last == 10
    assert best.loss_options == {"sigma": pytest.approx(record.best["loss_options.sigma"])}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png;base64") == 3 and "http" not in page.split("</head>")[1]

    output = tmp_path / "figure"
    result = CliRunner().invoke(app, ["stability", str(folder), "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert {p.name for p in output.iterdir()} == {"report.html", "stability.csv", "stability.png"}
    result = CliRunner().invoke(app, ["stability", str(tmp_path / "nothing")])
    assert result.exit_code == 2 and "nothing', which does not exist" in result.output


def test_what_does_not_exist_is_refused_before_anything_is_written(tmp_path):
    config = tmp_path / "base.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    space = tmp_path / "space.yaml"
    space.write_text("selection.name: stocot\nselection.options.gamma: {low: 1, high: 2}\n")
    call = ["tune", "--config", str(config), "--space", str(space), "-o", str(tmp_path / "study")]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 2 and "gamma" in result.output
    assert not (tmp_path / "study").exists()
