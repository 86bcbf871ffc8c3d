import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from keras_robust.scheduling.records import find_runs
from keras_robust.studies import curves as figures
from keras_robust.studies import panels
from keras_robust.studies.report import write_report

from .conftest import EPOCHS, STEPS, write_run


class _Balanced(HTMLParser):
    EMPTY = {"meta", "img", "br", "link"}

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            raise ValueError(tag)


def check_page(text):
    parser = _Balanced()
    parser.feed(text)
    assert not parser.open
    # Self-contained: nothing is fetched.
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "@import" not in text and "url(" not in text
    assert "prefers-color-scheme: dark" in text


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write_report(study, tmp_path_factory.mktemp("report"), title="A < B & C")


def test_page(report):
    text = report.read_text(encoding="utf-8")
    check_page(text)
    assert "<h1>A &lt; B &amp; C</h1>" in text
    assert "0.780(6)*" in text
    assert "T-Loss is highest with 0.780, 0.040 above CE+Dice; significantly better" in text
    assert "α = 0: CE+Dice is highest with 0.825, less than 0.001 above" in text


def test_open_runs_are_listed(report):
    text = report.read_text(encoding="utf-8")
    assert "42 of 44 runs are finished" in text
    assert "sce_a0.7_b0.7_s0" in text and "ValueError: the loss is not finite" in text
    assert "sce_a0.7_b0.7_s1" in text


def test_files(report):
    found = {path.name for path in report.parent.iterdir()}
    assert found == {
        "report.html", "table.csv", "table.md", "values.csv", "runs.csv", "anova.csv", "tukey.csv",
        "figure1.png", "figure2.png", "panels.png", "panels_a0_b0.png",
    }  # fmt: skip
    tukey = pd.read_csv(report.parent / "tukey.csv")
    assert len(tukey) == 2 * 10  # five losses make ten pairs, at two settings
    assert {"A", "B", "p_tukey", "alpha", "beta"} <= set(tukey.columns)
    assert pd.read_csv(report.parent / "table.csv", index_col=0).shape == (5, 2)
    assert len(pd.read_csv(report.parent / "runs.csv")) == 44


def test_same_runs_give_the_same_report(study, report, tmp_path):
    again = write_report(study, tmp_path, title="A < B & C")
    assert again.read_bytes() == report.read_bytes()


def test_memorisation_curves_are_means_over_seeds(study):
    runs = [r for r in find_runs(study) if r.config["loss"] == "gce" and r.setting[0] > 0]
    curve = figures.average(runs, "dice_train_dilate")
    assert len(curve) == EPOCHS and curve.index[-1] == EPOCHS * STEPS
    values = np.array([run.history["dice_train_dilate"] for run in runs])
    np.testing.assert_allclose(curve["mean"], values.mean(axis=0))
    np.testing.assert_allclose(curve["low"], values.min(axis=0))
    figure = figures.memorisation(runs)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == ["masks left clean", "dilated masks", "eroded masks", "displaced masks"]
    line = figure.axes[1].lines[0]
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))


def test_tolerance_has_every_level_and_every_start(study):
    runs = [run for run in find_runs(study) if run.config["loss"] == "t"]
    starts = [run for run in runs if "nu_tilde" in run.config["loss_options"]]
    main = [run for run in runs if run not in starts]
    figure = figures.tolerance(main, starts)
    levels, by_start, dice = figure.axes
    assert [text.get_text() for text in levels.get_legend().texts] == ["α = 0", "α = 0.7, β = 0.7"]
    assert len(by_start.lines) == 5  # the main runs are the start 0
    assert list(dice.get_xticks()) == [-4, -2, 0, 2, 4]
    assert len(figures.tolerance(main, []).axes) == 1
    assert figures.tolerance([], []) is None


def test_a_kind_of_noise_that_was_not_used_has_no_panel(tmp_path, study_data):
    folder = tmp_path / "run"
    write_run(folder, study_data, kinds=("clean", "erode"))
    assert len(figures.memorisation(find_runs(folder)).axes) == 2


def test_difference_colours():
    clean = np.array([[True, True], [False, False]])
    mask = np.array([[True, False], [True, False]])
    shown = panels.difference(mask, clean)
    assert shown[0, 0].tolist() == list(panels.AGREES)
    assert shown[0, 1].tolist() == list(panels.MISSING)
    assert shown[1, 0].tolist() == list(panels.EXCESS)
    assert shown[1, 1].tolist() == list(panels.NOTHING)


def test_panels_replay_the_noisy_masks(study):
    run = next(run for run in find_runs(study) if run.name == "t_a0.7_b0.7_s0")
    source = panels.PanelSource(run)
    noisy, clean = source.noisy("case0"), source.clean("case0")
    assert noisy.shape == clean.shape and (noisy != clean).any()
    assert source.noisy("case6") is None and source.split("case6") == "test"
    assert source.image("case0").shape == (*clean.shape, 3)


def test_starts_stand_beside_the_runs_that_differ_in_nothing_else(tmp_path, study_data):
    runs = tmp_path / "runs"
    write_run(runs / "t_a0.7_b0.7_s0", study_data)
    write_run(runs / "t-nu_tilde=4_a0.7_b0.7_s0", study_data, options={"nu_tilde": 4.0})
    (runs / "t-nu_tilde=4_a0.7_b0.7_s0/entry.json").write_text('{"label": "T-Loss", "start": true}')
    config = write_run(runs / "t-cot_a0.7_b0.7_s0", study_data) / "config.yaml"
    config.write_text(config.read_text() + "selection: {name: cot, options: {}}\n")
    page = write_report(runs, tmp_path / "out").read_text(encoding="utf-8")
    captions = re.findall("[^>]*: the logarithm[^<]*[.]<", page)
    assert ["initial value" in caption for caption in captions] == [False, True]
    assert captions[0].startswith("CoT T-Loss") and captions[1].startswith("T-Loss")


def test_ids_with_odd_characters_have_panels(tmp_path, study_data):
    data = tmp_path / "data"
    shutil.copytree(study_data, data)
    manifest = (data / "manifest.csv").read_text().replace("case6,", "patient 6 left.eye,")
    (data / "manifest.csv").write_text(manifest)
    folder = write_run(tmp_path / "run", data, noise=(0, 0))
    shutil.rmtree(folder / "predictions")
    (folder / "predictions").mkdir()
    Image.new("L", (48, 48)).save(folder / "predictions/patient%206%20left.eye.png")
    (folder / "test.csv").write_text("id,dice\npatient 6 left.eye,0.8\n")
    assert len(panels.mask_panels(find_runs(folder)).axes) == 3  # image, clean mask, T-Loss


def rows(runs):
    return [text for axis in panels.mask_panels(runs).axes if (text := axis.get_ylabel())]


def test_panels_tell_images_of_the_training_from_those_of_the_test(tmp_path, study_data):
    folder = write_run(tmp_path / "run", study_data, noise=(0, 0))
    assert rows(find_runs(folder)) == ["test", "test"]  # not case0 to case3, of the training
    # An annotator who drew all images, and a fold: what it held out is the test, of any split.
    data = tmp_path / "data"
    shutil.copytree(study_data, data)
    lines = (data / "manifest.csv").read_text()
    drawn = lines.partition("\n")[2].replace(",clean,", ",crowd,")
    (data / "manifest.csv").write_text(lines + drawn)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"] |= {"path": str(data), "annotator": "crowd", "clean_annotator": "clean"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "test.csv").write_text("id,dice\ncase0,0.8\ncase1,0.8\ncase7,0.8\n")
    assert rows(find_runs(folder)) == 3 * ["training"] + 3 * ["test"]


def test_panels_are_of_one_fold(tmp_path, study_data):
    for fold, tested in enumerate(("case6", "case7")):
        for loss in ("t", "mae"):
            folder = write_run(tmp_path / f"runs/{loss}_f{fold}", study_data, loss=loss)
            config = yaml.safe_load((folder / "config.yaml").read_text())
            config["data"]["fold"] = [fold, 2]
            (folder / "config.yaml").write_text(yaml.safe_dump(config))
            (folder / "test.csv").write_text(f"id,dice\n{tested},0.8\n")
            for path in (folder / "predictions").iterdir():
                if path.stem not in (f"case{fold}", tested):
                    path.unlink()
    page = write_report(tmp_path / "runs", tmp_path / "out").read_text(encoding="utf-8")
    assert "Masks and predictions" in page and (tmp_path / "out/panels.png").is_file()


def test_images_that_are_gone_are_said_to_be(tmp_path, study_data):
    data = tmp_path / "data"
    shutil.copytree(study_data, data)
    write_run(tmp_path / "runs/t_a0.7_b0.7_s0", data)
    shutil.rmtree(data)
    text = write_report(tmp_path / "runs", tmp_path / "out").read_text(encoding="utf-8")
    assert "the images behind the predictions cannot be read" in text


def test_few_seeds_and_unlike_runs_are_pointed_out(tmp_path, study_data):
    for loss, level in (("t", 0.9), ("mae", 0.5)):
        for seed in range(2):
            name = f"{loss}_a0.7_b0.7_s{seed}"
            value = level + 0.001 * seed
            write_run(tmp_path / "runs" / name, study_data, loss=loss, seed=seed, level=value)
    config = tmp_path / "runs/mae_a0.7_b0.7_s0/config.yaml"
    config.write_text(config.read_text().replace(f"epochs: {EPOCHS}", "epochs: 31"))
    shutil.copytree(tmp_path / "runs/mae_a0.7_b0.7_s1", tmp_path / "runs/twin")
    text = write_report(tmp_path / "runs", tmp_path / "out").read_text(encoding="utf-8")
    assert "Fewer than 3 seeds" in text and ")*<" not in text
    assert "not alike" in text and "epochs (31 and 30)" in text
    assert "twin is left out" in text


def test_a_study_without_a_finished_run_has_a_report(tmp_path, study_data):
    write_run(tmp_path / "runs/t_a0.7_b0.7_s0", study_data, status="running", epochs=3)
    write_run(tmp_path / "runs/t_a0.7_b0.7_s1", study_data, status="waiting", seed=1)
    text = write_report(tmp_path / "runs", tmp_path / "out").read_text(encoding="utf-8")
    check_page(text)
    assert "0 of 2 runs are finished" in text and "No run is finished yet" in text


def test_command(tmp_path, study_data):
    from keras_robust.cli import app

    write_run(tmp_path / "runs/t_a0.7_b0.7_s0", study_data)
    result = CliRunner().invoke(app, ["report", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "runs/report/report.html").is_file()
    missing = CliRunner().invoke(app, ["report", str(tmp_path / "nothing")])
    assert missing.exit_code == 2 and "Train first" in missing.output


def test_runs_that_differ_in_selection_fold_or_annotator_alone_are_kept_apart(study, tmp_path):
    source = study / "gce_a0.7_b0.7_s0"
    changes = [{}, {"selection": {"name": "cot", "options": {}}}, {"fold": [1, 3]}, {}]
    changes += [{"annotator": "bo", "loss": "mae"}, {"annotator": "ann", "loss": "mae"}]
    for number, change in enumerate(changes):
        folder = shutil.copytree(source, tmp_path / f"runs/{number}")
        config = yaml.safe_load((folder / "config.yaml").read_text())
        for key, value in change.items():
            (config["data"] if key in ("fold", "annotator") else config)[key] = value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    page = write_report(tmp_path / "runs", tmp_path / "report").read_text(encoding="utf-8")
    assert "runs/3 is left out" in page and page.count("is left out") == 1
    values = pd.read_csv(tmp_path / "report/values.csv").set_index("label")
    assert values["seeds"].to_dict() == {
        "GCE": 2, "CoT GCE": 1, "MAE (ann)": 1, "MAE (bo)": 1,
    }  # fmt: skip
    assert "not alike beyond what is compared" not in page
