import csv
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_robust.common.artefacts import DamagedFileError
from keras_robust.noise import KINDS
from keras_robust.training import DataConfig, DivergenceError, Run, train
from keras_robust.training.checkpoint import Checkpoints
from keras_robust.training.run import HISTORY_COLUMNS

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def state(run):
    """Weights, ν and optimiser of the newest checkpoint, byte for byte."""
    return Checkpoints(run.folder / "checkpoints").newest()[1]["state.npz"]


def figures(run):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.history]


class TestRunFolder:
    def test_history_has_the_agreed_columns(self, trained_run):
        with open(trained_run.folder / "history.csv") as file:
            header, *rows = csv.reader(file)
        assert tuple(header) == HISTORY_COLUMNS
        assert len(rows) == 3
        assert [row[0] for row in rows] == ["1", "2", "3"]
        assert [row[1] for row in rows] == ["3", "6", "9"]

    def test_test_dice_is_taken_in_the_last_epochs(self, trained_run):
        taken = [row["dice_test"] for row in trained_run.history]
        assert taken[0] is None
        assert trained_run.results["dice_test"] == pytest.approx(np.mean(taken[1:]))

    def test_dice_per_kind_of_noise_averages_to_the_whole(self, trained_run):
        kinds = [entry.kind for entry in trained_run.noise]
        assert len(kinds) == 13 and sum(kind != "clean" for kind in kinds) == 9
        for row in trained_run.history:
            total = sum(
                kinds.count(kind) * (row[f"dice_train_{kind}"] or 0) for kind in ("clean", *KINDS)
            )
            assert row["dice_train"] == pytest.approx(total / 13)

    def test_nu_is_trained_and_logged(self, trained_run):
        tilde = [row["nu_tilde"] for row in trained_run.history]
        assert len({0.0, *tilde}) == 4
        np.testing.assert_allclose(np.exp(tilde), [row["nu"] for row in trained_run.history])

    def test_results_agree_with_the_table_of_images(self, trained_run):
        with open(trained_run.folder / "test.csv") as file:
            dice = [float(row["dice"]) for row in csv.DictReader(file)]
        assert len(dice) == 5
        assert trained_run.history[-1]["dice_test"] == pytest.approx(np.mean(dice))
        assert trained_run.results["dice_test_std_images"] == pytest.approx(np.std(dice))

    def test_run_json_says_what_was_run_with_what(self, trained_run):
        info = json.loads((trained_run.folder / "run.json").read_text())
        assert info["status"] == "finished" and info["error"] is None
        assert {"python", "keras", "tensorflow", "numpy", "keras_robust"} <= set(info["versions"])
        assert info["started"] <= info["finished"]

    def test_predictions_of_test_and_of_each_kind_are_kept(self, trained_run):
        kept = list((trained_run.folder / "predictions").glob("*.png"))
        assert len(kept) == 2 + len({entry.kind for entry in trained_run.noise})

    def test_the_model_can_be_loaded(self, trained_run):
        model = trained_run.load_model()
        assert model.output_shape == (None, 32, 32, 1)
        with np.load(trained_run.folder / "checkpoints" / "000003" / "state.npz") as stored:
            np.testing.assert_array_equal(model.weights[0].value, stored["model-0000"])
        with pytest.raises(ValueError, match="whole images"):
            trained_run.load_model(best=True)


def test_streaming_and_a_second_time_give_the_same_bytes(small_config, trained_run, tmp_path):
    data = small_config.data.model_copy(update={"cache": "none"})
    run = train(small_config.model_copy(update={"data": data}), tmp_path)
    assert state(run) == state(trained_run)
    assert figures(run) == figures(trained_run)
    assert len(list((tmp_path / "noisy_masks").iterdir())) == 13


def test_an_epoch_of_more_steps_than_a_pass_is_resumed_within_the_pass(small_config, tmp_path):
    """13 images make passes of 3 batches; epochs of 4 steps begin within them."""
    changes = {"steps_per_epoch": 4, "epochs": 2, "evaluate_last": 1, "save_predictions": 0}
    config = small_config.model_copy(update=changes)

    def interrupt(stage, done, total, figures):
        if (stage, done) == ("step", 6):
            raise KeyboardInterrupt

    whole = train(config, tmp_path / "whole")
    assert [row["step"] for row in whole.history] == [4, 8]
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut", progress=interrupt)
    assert state(train(config, tmp_path / "cut", resume=True)) == state(whole)


def test_interrupted_and_resumed_equals_uninterrupted(small_config, trained_run, tmp_path):
    def interrupt(stage, done, total, figures):
        if (stage, done) == ("step", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(small_config, tmp_path, progress=interrupt)
    run = Run(tmp_path)
    assert run.status == "interrupted" and len(run.history) == 1
    assert run.load_model().output_shape == (None, 32, 32, 1)

    with pytest.raises(ValueError, match="resume=True"):
        train(small_config, tmp_path)
    other = small_config.model_copy(update={"learning_rate": 0.1})
    with pytest.raises(ValueError, match="other values of learning_rate"):
        train(other, tmp_path, resume=True)

    train(small_config, tmp_path, resume=True)
    assert run.status == "finished"
    assert state(run) == state(trained_run)
    assert figures(run) == figures(trained_run)
    before = (tmp_path / "run.json").read_bytes()
    train(small_config, tmp_path, resume=True)
    assert (tmp_path / "run.json").read_bytes() == before


def test_killed_and_resumed_equals_uninterrupted(small_config, trained_run, tmp_path):
    code = """
import sys
from keras_robust.training import TrainConfig, train
config = TrainConfig.load(sys.argv[1])
train(config, sys.argv[2], progress=lambda *event: print(*event[:2], flush=True))
"""
    path = tmp_path / "config.yaml"
    path.write_text(small_config.to_yaml())
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stdout:
        if line == "step 8\n":
            process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    run = Run(tmp_path / "run")
    assert run.status == "running" and len(run.history) == 2
    # The newest checkpoint is damaged as well: one epoch more has to be repeated.
    (run.folder / "checkpoints" / "000002" / "state.npz").write_bytes(b"")
    with pytest.warns(UserWarning, match="000002 is damaged"):
        train(small_config, run.folder, resume=True)
    assert state(run) == state(trained_run)
    assert figures(run) == figures(trained_run)


def test_a_loss_that_is_not_finite_fails_the_run_and_names_the_batch(small_config, tmp_path):
    config = small_config.model_copy(update={"learning_rate": 1e38})
    with pytest.raises(DivergenceError, match=r"epoch 1, batch \d \(ISIC"):
        train(config, tmp_path)
    info = Run(tmp_path).info
    assert info["status"] == "failed"
    assert "DivergenceError: Loss is" in info["error"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotator": "nobody"}, "annotator='nobody'"),
        ({"train_split": "training"}, "training"),
        ({"path": "/nowhere"}, "nowhere"),
    ],
)
def test_what_the_dataset_lacks_is_named(small_config, tmp_path, change, message):
    config = small_config.model_copy(update={"data": small_config.data.model_copy(update=change)})
    with pytest.raises((ValueError, OSError), match=message):
        train(config, tmp_path)
    assert Run(tmp_path).status == "failed"


def test_a_resumption_that_fails_leaves_a_run_that_loads(small_config, trained_run, tmp_path):
    """The data set is away; the last checkpoint still predicts."""
    run = Run(shutil.copytree(trained_run.folder, tmp_path / "run"))
    (run.folder / "run.json").write_text(json.dumps({**run.info, "status": "interrupted"}))
    with pytest.raises(OSError, match="away"):
        with run.recording(small_config):
            raise OSError("away")
    assert run.status == "failed"
    assert run.load_model().count_params() == trained_run.load_model().count_params()


def test_two_processes_do_not_train_in_one_folder(small_config, tmp_path):
    from keras_robust.common.files import locked

    with locked(tmp_path / ".training.lock"):
        with pytest.raises(OSError, match="Another process is training"):
            train(small_config, tmp_path)
    assert not (tmp_path / "config.yaml").exists()


def test_what_a_dead_attempt_left_goes(small_config, tmp_path):
    (tmp_path / "run.json").write_text('{"status": "failed"}')
    (tmp_path / "entry.json").write_text("{}")
    left = ["noise.jsonl", "noisy_masks/a.png", "predictions/a.png", "tensorboard/train/events"]
    for name in left:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    with Run(tmp_path).claimed(small_config, resume=False):
        assert Run(tmp_path).config == small_config
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".training.lock",
        "config.yaml",
        "entry.json",
    ]


def test_a_finished_run_without_its_checkpoints_is_kept(small_config, tmp_path):
    (tmp_path / "run.json").write_text('{"status": "finished"}')
    (tmp_path / "test.csv").write_text("id,dice\n")
    with pytest.raises(ValueError, match="whose run is finished"):
        train(small_config, tmp_path)
    assert train(small_config, tmp_path, resume=True).status == "finished"
    assert (tmp_path / "test.csv").exists()


def test_a_folder_that_holds_no_run_keeps_its_files(small_config, tmp_path):
    (tmp_path / "predictions").mkdir()
    with Run(tmp_path).claimed(small_config, resume=False):
        assert (tmp_path / "predictions").is_dir()


@pytest.mark.parametrize("change", [{"loss": "nope"}, {"loss_options": {"gamma": 2}}])
def test_an_unknown_loss_or_option_is_named_before_the_folder_is_touched(
    small_config, tmp_path, change
):
    with pytest.raises(ValueError, match="nope|gamma"):
        train(small_config.model_copy(update=change), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_backend_that_does_not_train_is_refused(small_config, tmp_path, monkeypatch):
    monkeypatch.setattr("keras.backend.backend", lambda: "openvino")
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
        train(small_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_cluster_is_refused_on_each_of_its_machines(small_config, tmp_path, monkeypatch):
    workers = ["127.0.0.1:23451", "127.0.0.1:23452"]
    cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(ValueError, match="a cluster of 2.*Unset"):
        train(small_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_image_that_cannot_be_read_is_named(small_config, tmp_path, capfd, split):
    root = tmp_path / "data"
    root.mkdir()
    picture = Image.fromarray(np.eye(32, dtype=np.uint8) * 255)
    lines = ["id,image,mask,annotator,split"]
    for id in ("a-train", "b-train", "c-test", "d-test"):
        picture.save(root / f"{id}.png")
        picture.save(root / f"{id}-mask.png")
        lines.append(f"{id},{id}.png,{id}-mask.png,clean,{id[2:]}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    broken = "b-train" if split == "train" else "d-test"
    (root / f"{broken}.png").write_bytes(b"no image")
    config = small_config.model_copy(
        update={"data": DataConfig(path=root, size=(32, 32)), "noise": None, "epochs": 1}
    )
    with pytest.raises(ValueError, match=f"{broken}.* cannot be read"):
        train(config, tmp_path / "run")
    assert "cannot be read" in Run(tmp_path / "run").info["error"]
    assert "Traceback" not in capfd.readouterr().err  # TensorFlow would print its own


def test_half_precision_trains(small_config, tmp_path):
    config = small_config.model_copy(
        update={"precision": "mixed_bfloat16", "epochs": 1, "noise": None, "loss": "ce+dice"}
    )
    run = train(config, tmp_path)
    assert np.isfinite(run.results["dice_test"])
    assert run.history[0]["nu"] is None
    assert {
        a.dtype.name for a in np.load(run.folder / "checkpoints/000001/state.npz").values()
    } <= {
        "float32",
        "int32",
        "int64",
    }


@pytest.mark.parametrize("name", ["history.csv", "test.csv", "a prediction"])
def test_a_damaged_file_of_a_finished_run_is_made_again(small_config, trained_run, tmp_path, name):
    run = Run(shutil.copytree(trained_run.folder, tmp_path / "run"))
    assert run.damage is None
    pictures = sorted((run.folder / "predictions").iterdir())
    path = pictures[0] if name == "a prediction" else run.folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert path.name in str(run.damage) and "--resume" in str(run.damage)
    again = train(small_config, run.folder, resume=True)
    assert again.damage is None and path.read_bytes() == whole
    assert figures(again) == figures(trained_run) and again.results == trained_run.results


def test_a_damaged_run_without_weights_is_not_trained_anew(small_config, trained_run, tmp_path):
    run = Run(shutil.copytree(trained_run.folder, tmp_path / "run"))
    shutil.rmtree(run.folder / "checkpoints")
    (run.folder / "history.csv").write_text("epoch\n")
    with pytest.raises(DamagedFileError, match=r"history\.csv"):
        train(small_config, run.folder, resume=True)
    with pytest.raises(DamagedFileError, match=r"history\.csv"):
        _ = run.history
