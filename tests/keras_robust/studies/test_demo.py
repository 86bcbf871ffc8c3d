"""The demonstration end to end, at the smallest size that trains."""

import re

from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.studies.demo import demo_study


def test_demo_leaves_a_self_contained_report_and_continues(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise ImportError('somebody has a file of this name')")
    monkeypatch.chdir(tmp_path)
    command = ["demo", "--output", str(tmp_path), "--size", "16", "--features", "2"]
    first = CliRunner().invoke(app, [*command, "--epochs", "2"])
    assert first.exit_code == 0, first.output
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "CE+Dice" in page and "T-Loss" in page and "data:image/png;base64," in page
    assert not re.search(r"""(?:src|href)=["']https?:""", page)
    histories = sorted((tmp_path / "runs").glob("*/history.csv"))
    assert len(histories) == 2
    before = [path.stat().st_mtime_ns for path in histories]

    (tmp_path / "report.html").unlink()
    again = CliRunner().invoke(app, [*command, "--epochs", "2"])
    assert again.exit_code == 0, again.output
    assert str(tmp_path / "report.html") in again.output.replace("\n", "")
    assert (tmp_path / "report.html").is_file()
    assert [path.stat().st_mtime_ns for path in histories] == before

    other = CliRunner().invoke(app, [*command, "--epochs", "3"])
    assert other.exit_code == 2
    assert "Give another output folder" in " ".join(other.output.split())


def test_both_losses_see_the_same_noisy_masks():
    first, second = demo_study().runs()
    assert first.config["noise"] == second.config["noise"]
    assert first.config["noise"]["alpha"] == first.config["noise"]["beta"] == 0.7
    assert {first.config["loss"], second.config["loss"]} == {"ce+dice", "t"}
