import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pandas as pd
import pytest
import yaml
from sqlalchemy.exc import SQLAlchemyError

from keras_robust.common.artefacts import ARTEFACTS, DamagedFileError
from keras_robust.scheduling.records import read_status
from keras_robust.tuning.figures import importance_figure, parameter_figure, stability_figure
from keras_robust.tuning.objective import Objective
from keras_robust.tuning.options import TuningOptions
from keras_robust.tuning.report import stability_table
from keras_robust.tuning.results import TuningRecord
from keras_robust.tuning.space import SPACES, Range, Space, configured, load_space
from keras_robust.tuning.study import SharedStudy, number_of
from keras_robust.tuning.tune import trial_config, tune

# Stands in for the training process: the Dice of epoch e is 0.9 - (q - 0.7)² - 0.1 / e.
FAKE = """
import json, os, signal, sys, time, yaml
from pathlib import Path
from keras_robust.common.files import locked
folder = Path(sys.argv[1])
signal.signal(signal.SIGTERM, signal.default_int_handler)
def write(status, **more):
    (folder / "run.json").write_text(json.dumps({"status": status, **more}))
try:
    with locked(folder / "worker.lock", wait=False):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        with open(folder / "starts.txt", "a") as file:
            file.write("start\\n")
        write("running")
        history = folder / "history.csv"
        if not history.exists():
            history.write_text("epoch,loss,dice_train\\n")
        done = len(history.read_text().splitlines()) - 1
        q, behaviour = config["loss_options"]["q"], config.get("fake", "")
        for epoch in range(done + 1, config["epochs"] + 1):
            time.sleep(0.2 if behaviour == "slow" else 0)
            dice = 0.5 if behaviour == "flat" else 0.9 - (q - 0.7) ** 2 - 0.1 / epoch
            text = "" if behaviour == "nan" and q > 0.5 else repr(dice)
            with open(history, "a") as file:
                file.write(f"{epoch},0.5,{text}\\n")
            if behaviour == "diverge" and q > 0.5:
                write("failed", error="keras_robust.DivergenceError: Loss is nan in epoch 1")
                sys.exit(1)
            if behaviour in ("fail", "refuse"):
                error = "OSError" if behaviour == "fail" else "ValueError"
                write("failed", error=error + ": by design")
                sys.exit(1)
            if behaviour == "die once" and epoch == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        write("finished")
except BlockingIOError:
    sys.exit(75)
except KeyboardInterrupt:
    write("interrupted")
    sys.exit(130)
"""
SPACE = Space(fixed={"loss": "gce"}, search={"loss_options.q": Range(low=0.1, high=1)})


@pytest.fixture
def study(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(FAKE)

    def run(behaviour="", folder="study", **options):
        given = {"trials": 4, "epochs": 2, "objective": "dice_train", "workers": 2}
        given |= {"poll_seconds": 0.02, "heartbeat_seconds": 0.5, "complete": dict, "check": list}
        given["content"] = lambda config: "the same"
        config = {"data": {"path": "lesions"}, "epochs": 200, "fake": behaviour}
        command = [sys.executable, str(script)]
        return tune(config, tmp_path / folder, SPACE, command=command, **(given | options))

    run.folder = tmp_path / "study"
    run.script = script
    return run


def starts(record):
    return {
        trial: len((record.run_folder(trial) / "starts.txt").read_text().splitlines())
        for trial in record.trials["trial"]
    }


def test_the_paper_protocol_is_the_default():
    defaults = TuningOptions()
    assert (defaults.trials, defaults.epochs, defaults.pruner) == (30, 50, "none")
    # nnRobustLoss (2026), section 2.1.
    q = SPACES["apl2"].search["loss_options.q"]
    assert 0 < q.low <= 0.001 and q.high == 1
    for name in ("cot", "cot+"):
        forget = SPACES[name].search["selection.options.forget_rate"]
        assert (forget.low, forget.high, forget.log) == (0, 0.1, False)
    beta = SPACES["stocot"].search["selection.options.beta"]
    assert (beta.low, beta.high, beta.log) == (0.5, 8, True)
    sigma = SPACES["svls"].search["loss_options.sigma"]
    assert (sigma.low, sigma.high, sigma.log) == (0.2, 2, False)
    parts = [SPACES[name].search for name in ("apl2", "stocot", "svls")]
    assert SPACES["hrl"].search == parts[0] | parts[1] | parts[2]


@pytest.mark.parametrize("name", SPACES)
def test_every_named_space_makes_configurations_that_train_accepts(name):
    from keras_robust import losses
    from keras_robust.training import TrainConfig
    from keras_robust.training.build import build_selection

    base = {"data": {"path": "lesions"}, "loss": "gce", "loss_options": {"q": 0.3}}
    for i in range(3):
        values = {field: r.samples()[i] for field, r in SPACES[name].search.items()}
        config = TrainConfig(**configured(base, {**SPACES[name].fixed, **values}))
        losses.get(config.loss, **config.loss_options)
        assert (build_selection(config) is None) == (name in ("apl2", "svls"))


def test_a_space_from_a_file(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "loss: gce\nlearning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"
        "batch_size: {low: 4, high: 16, step: 4}\nmodel.features: {choices: [8, 16]}\n"
    )
    space = load_space(path)
    assert space.fixed == {"loss": "gce"} and Space.read(space.written()) == space
    trial = optuna.trial.FixedTrial({"learning_rate": 1e-3, "batch_size": 8, "model.features": 16})
    drawn = {name: range_.suggest(trial, name) for name, range_ in space.search.items()}
    assert drawn == trial.params and isinstance(drawn["batch_size"], int)
    assert isinstance(trial.distributions["learning_rate"], optuna.distributions.FloatDistribution)
    assert trial.distributions["learning_rate"].log
    # Whole bounds alone do not make whole numbers.
    assert not Range(low=0, high=1).whole
    assert Range(low=0.1, high=0.7, step=0.1).samples() == pytest.approx((0.1, 0.4, 0.7))
    with pytest.raises(ValueError, match="high=15, step=4; 12 would be the last"):
        Range(low=4, high=15, step=4)
    for content in ("loss: gce", "loss_options.q: {low: 1, high: 0}", "- q", "q: {lo: 1}"):
        path.write_text(content)
        with pytest.raises(ValueError):
            load_space(path)
    with pytest.raises(ValueError, match="'stocot'.*'nope'"):
        load_space("nope")


def test_options_of_another_loss_or_selection_are_dropped():
    base = {
        "loss": "gce",
        "loss_options": {"q": 0.3},
        "selection": {"name": "cot", "options": {"forget_rate": 0.1}},
    }
    fields = {"loss": "ce+dice", "selection.name": "stocot", "selection.options.alpha": 2}
    changed = configured(base, fields)
    assert changed["loss_options"] == {}
    assert changed["selection"] == {"name": "stocot", "options": {"alpha": 2}}
    same = configured(base, {"selection.name": "cot", "loss": "gce", "loss_options.q": 0.5})
    assert same == base | {"loss_options": {"q": 0.5}} and base["loss_options"] == {"q": 0.3}
    # Options are kept that stand before the loss or the selection they belong to.
    fields = {"loss_options.sigma": 1, "selection.options.alpha": 2, "selection.name": "stocot"}
    changed = configured(base, fields | {"loss": "svls"})
    assert changed["loss_options"] == {"sigma": 1}
    assert changed["selection"] == {"name": "stocot", "options": {"alpha": 2}}


def test_fixing_a_field_ends_its_search():
    space = load_space("hrl").with_fixed({"loss_options.sigma": 0.7})
    assert "loss_options.sigma" not in space.search and len(space.search) == 3
    assert Space.read(space.written()) == space
    with pytest.raises(ValueError, match="leave something to search.*loss_options.sigma"):
        load_space("svls").with_fixed({"loss_options.sigma": 0.7})
    with pytest.raises(ValueError, match=r"noise=.*noise\.alpha"):
        space.with_fixed({"noise": {"alpha": 0.7, "beta": 0.7}})


def test_objectives():
    history = pd.DataFrame({"epoch": [1, 2, 3], "dice_train": [0.5, 0.6, 0.8]})
    assert Objective("dice_train").value(history) == 0.8
    # 0.9 * (0.9 * 0.5 + 0.1 * 0.6) + 0.1 * 0.8
    assert Objective("ema:dice_train").value(history) == pytest.approx(0.539)
    history.loc[2, "dice_train"] = math.nan
    assert math.isnan(Objective("dice_train").value(history))
    with pytest.raises(ValueError, match="epoch, dice_train.*'dice'"):
        Objective("dice").check(history)


def test_trials_do_not_see_what_tuning_must_not_see():
    base = {"data": {"path": "x", "annotator": "crowd", "clean_annotator": "gold"}, "epochs": 200}
    config = trial_config(base, SPACE, {"loss_options.q": 0.5}, 50, Objective("ema:dice_train"))
    assert config["data"]["clean_annotator"] == "crowd" and config["evaluate_last"] == 0
    assert config["data"]["test_split"] is None
    assert config["epochs"] == 50 and config["loss_options"] == {"q": 0.5}
    config = trial_config(base, SPACE, {"loss_options.q": 0.5}, 50, Objective("dice_test"))
    assert config["data"] == base["data"]


def test_tpe_finds_the_best_and_writes_it(study):
    state = []
    record = study(trials=12, progress=lambda s: state.append((s.settled, s.best, s.message)))
    trials = record.trials
    assert len(trials) == 12 and set(trials["state"]) == {"finished"}
    assert trials["value"].to_numpy() == pytest.approx(0.85 - (trials["loss_options.q"] - 0.7) ** 2)
    best = yaml.safe_load((record.folder / "best.yaml").read_text())
    q = trials.loc[trials["value"].idxmax(), "loss_options.q"]
    assert best["loss_options"] == {"q": pytest.approx(q)} and best["loss"] == "gce"
    assert best["epochs"] == 200 and best["data"] == {"path": "lesions"}
    assert (record.folder / "best.yaml").read_text().startswith("# Trial ")
    assert abs(q - 0.7) < 0.15
    assert state[-1][0] == 12 and state[-1][1] == trials["value"].max()
    sampled = optuna.load_study(
        study_name="study", storage=f"sqlite:///{record.folder / 'study.db'}"
    )
    assert len(sampled.trials) == 12 and sampled.trials[3].intermediate_values[1] < 0.81
    # Nothing is done again, and the study can be made longer.
    assert set(starts(study(trials=12)).values()) == {1}
    assert len(study(trials=13).trials) == 13


def test_what_is_sampled_depends_on_the_seed_alone(study):
    one = study(workers=1, trials=2, epochs=1)
    again = study(folder="b", workers=1, trials=2, epochs=1)
    other = study(folder="c", workers=1, trials=2, epochs=1, seed=1)
    column = "loss_options.q"
    assert list(one.trials[column]) == list(again.trials[column]) != list(other.trials[column])
    assert one.trials[column].nunique() == 2


def test_nan_is_a_failed_trial_and_costs_nothing_else(study):
    for behaviour, message in {
        "nan": "objective dice_train is nan",
        "diverge": "DivergenceError",
    }.items():
        record = study(behaviour, folder=behaviour, trials=4, seed=1)
        failed = record.trials["loss_options.q"] > 0.5
        assert 0 < failed.sum() < 4
        assert list(record.trials["state"] == "failed") == list(failed)
        assert record.trials["error"][failed].str.contains(message).all()
        assert set(starts(record).values()) == {1}  # not tried again
        assert record.best["loss_options.q"] <= 0.5


def test_a_trial_whose_process_dies_is_taken_up_where_it_was(study):
    record = study("die once", trials=2)
    assert list(record.trials["state"]) == ["finished"] * 2
    assert list(record.trials["attempts"]) == [2, 2] and set(starts(record).values()) == {2}
    assert len((record.folder / "trials/0000/history.csv").read_text().splitlines()) == 3


def test_a_study_in_which_nothing_trains_ends(study):
    with pytest.raises(ValueError, match="3 trials failed.*by design"):
        study("fail", trials=30, workers=1, retries=1)
    record = TuningRecord.read(study.folder)
    assert list(record.trials["state"])[:3] == ["failed"] * 3 and len(record.trials) == 3
    assert set(starts(record).values()) == {2}
    assert "by design" in (study.folder / "report.html").read_text()
    with pytest.raises(ValueError, match="3 trials failed.*by design"):
        study("refuse", folder="refused", trials=30, workers=1, retries=1)
    # An error that the next attempt would meet again.
    assert set(starts(TuningRecord.read(study.folder.parent / "refused")).values()) == {1}


def test_a_search_without_effect_is_told(study):
    record = study("flat", trials=2)
    assert record.without_effect and not study(folder="b", trials=2).without_effect
    assert "had no effect" in (record.folder / "report.html").read_text()
    # Where some trials fail, what is searched decides about that.
    table = pd.concat([record.trials, record.trials.iloc[:1].assign(trial=2, state="failed")])
    table.to_csv(record.folder / "trials.csv", index=False)
    unrecorded = {key: value for key, value in record.info.items() if key != ARTEFACTS}
    assert not TuningRecord(record.folder, unrecorded).without_effect


def test_pruning_ends_trials_early(study):
    record = study("slow", pruner="median", trials=8, epochs=6, workers=3)
    states = list(record.trials["state"])
    assert states.count("pruned") > 0 and states[:3] == ["finished"] * 3
    pruned = record.trials[record.trials["state"] == "pruned"]
    # One may write its last epoch while it is being stopped.
    assert (pruned["epochs"] < 6).any() and (pruned["epochs"] >= 2).all()
    assert read_status(record.run_folder(pruned.iloc[0]["trial"])) == "interrupted"


def test_what_does_not_fit_is_refused(study):
    study(trials=1)
    with pytest.raises(ValueError, match="other values of epochs.*Take another folder"):
        study(trials=1, epochs=3)
    with pytest.raises(ValueError, match="other values of config.fake"):
        study("slow", trials=1)
    with pytest.raises(ValueError, match="dice_tran"):
        study(folder="b", objective="dice_tran")
    with pytest.raises(ValueError, match="pruner.*'best'"):
        study(folder="c", pruner="best")
    with pytest.raises(ValueError, match="storage"):
        study(folder="d", storage="sqlite:////nowhere/at/all.db")
    with pytest.raises(ValueError, match="`storage`.*a URL"):
        TuningOptions(storage="study.db")
    # A field that a newer version fills in is none that differs.
    study(trials=1, complete=lambda config: {"new": 0, **config})
    # What another study left must not be continued as a trial of this one.
    (study.folder / "study.db").unlink()
    with pytest.raises(ValueError, match="trials of another study"):
        study(trials=1, seed=5)


@pytest.mark.parametrize("url", ["sqlite:///{}", "journal:{}"])
def test_storages_hold_the_same_study(tmp_path, url):
    options = {"storage": url.format(tmp_path / "shared"), "name": "shared"}
    one, two = (SharedStudy(tmp_path / name, SPACE, 3, **options) for name in ("one", "two"))
    one.agree({"epochs": 3})
    with pytest.raises(ValueError, match="other values of epochs"):
        two.agree({"epochs": 4})
    trials = [one.claim(), two.claim(), one.claim()]
    assert [number_of(trial) for trial in trials] == [0, 1, 2] and two.claim() is None
    one.hand_over(trials[0])
    again = two.claim()
    assert number_of(again) == 0 and again.params == trials[0].params
    for trial in (again, *trials[1:]):
        two.complete(trial, 0.5)
    assert one.settled and two.settled


@pytest.mark.parametrize(
    ("url", "reason"), [("mysql+nodriver://x", "nodriver"), ("study.db", "URL"), ("x://y", "x")]
)
def test_a_storage_that_cannot_be_opened_is_named(tmp_path, url, reason):
    with pytest.raises(ValueError, match=f"`storage`.*one that cannot:.*{reason}"):
        SharedStudy(tmp_path, SPACE, 3, storage=url)


def test_a_storage_that_fails_meanwhile_costs_nothing(study, monkeypatch):
    def fails(*arguments):
        raise SQLAlchemyError("server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr(SharedStudy, "complete", fails)
        with pytest.raises(ConnectionError, match=r"server closed.*continues"):
            study()
    record = study()
    assert list(record.trials["state"]) == ["finished"] * 4
    assert list(record.trials["attempts"]) == [1] * 4


def test_optuna_is_needed(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"keras-robust\[tune\]"):
        study()


CALLER = """
import sys
from keras_robust.tuning.tune import tune
from keras_robust.tuning.space import Range, Space
space = Space(fixed={{"loss": "gce"}}, search={{"loss_options.q": Range(low=0.1, high=1)}})
config = {{"data": {{"path": "lesions"}}, "epochs": 200, "fake": "slow"}}
try:
    tune(config, {folder!r}, space, trials=8, epochs=3, objective="dice_train", workers=2,
         storage={storage!r}, study="shared", command=[sys.executable, {script!r}],
         complete=dict, check=list, content=lambda config: "the same",
         poll_seconds=0.02, heartbeat_seconds=4)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def shared(study, tmp_path):
    """Work on a study of 8 trials, in another process and in this one."""

    def elsewhere(folder, storage=None):
        source = CALLER.format(folder=str(folder), storage=storage, script=str(study.script))
        return subprocess.Popen([sys.executable, "-c", source])

    def here(folder, storage=None):
        options = {"trials": 8, "epochs": 3, "study": "shared", "heartbeat_seconds": 4}
        return study("slow", folder=folder, storage=storage, **options)

    return elsewhere, here


def wait_for(condition, seconds=300):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def finished(folder):
    return sum(read_status(run) == "finished" for run in folder.glob("trials/*"))


def test_a_study_that_is_stopped_goes_on(shared, tmp_path):
    elsewhere, here = shared
    folder = tmp_path / "study"
    for number, enough in ((signal.SIGINT, 1), (signal.SIGKILL, 4)):
        process = elsewhere(folder)
        wait_for(lambda enough=enough: finished(folder) >= enough)
        process.send_signal(number)
        assert process.wait(300) == (-9 if number == signal.SIGKILL else 130)
        assert finished(folder) < 8
    record = here("study")
    assert list(record.trials["state"]) == ["finished"] * 8
    assert list(record.trials["trial"]) == list(range(8))
    assert list(record.trials["attempts"]) == [1] * 8
    # Every epoch was trained once, by the first process, an orphan of the second or the third.
    for trial in range(8):
        history = pd.read_csv(record.run_folder(trial) / "history.csv")
        assert list(history["epoch"]) == [1, 2, 3]
    assert sum(starts(record).values()) > 8


def test_machines_share_a_study_and_take_over_from_one_that_died(shared, tmp_path):
    elsewhere, here = shared
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    process = elsewhere(tmp_path / "gone", storage)
    wait_for(lambda: finished(tmp_path / "gone") >= 1)
    process.kill()
    process.wait()
    # Neither sees the folder of the first, nor that of the other.
    process = elsewhere(tmp_path / "one", storage)
    record = here("two", storage=storage)
    assert process.wait(300) == 0
    for folder in ("one", "two"):
        record = TuningRecord.read(tmp_path / folder)
        assert list(record.trials["state"]) == ["finished"] * 8
        assert list(record.trials["trial"]) == list(range(8))
        assert record.trials["loss_options.q"].nunique() == 8
    twice = set(record.trials["trial"][record.trials["attempts"] == 2])
    assert len(twice) <= 2
    runs = [run for name in ("one", "two") for run in (tmp_path / name).glob("trials/*")]
    done = {int(run.name) for run in (tmp_path / "gone").glob("trials/*")} - twice
    # None was trained by both.
    assert sorted(int(run.name) for run in runs) == sorted(set(range(8)) - done)
    stored = optuna.load_study(study_name="shared", storage=storage)
    first = {
        t.user_attrs["run"]: t.params
        for t in stored.trials
        if "host" in t.user_attrs and "again" not in t.user_attrs
    }
    for trial in stored.trials:  # the same hyper-parameters, not others
        assert trial.params == first.get(trial.user_attrs.get("run"), trial.params)


def test_a_trial_that_changes_hands_counts_before_one_begun_meanwhile(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    one, two = (SharedStudy(tmp_path / n, SPACE, 2, storage=url, name="s") for n in ("one", "two"))
    first, second = one.claim(), one.claim()
    assert [number_of(trial) for trial in (first, second)] == [0, 1] and two.claim() is None
    enqueue, begun = one.study.enqueue_trial, []

    def late(*arguments, **options):
        begun.append(two.claim())
        enqueue(*arguments, **options)

    monkeypatch.setattr(one.study, "enqueue_trial", late)
    one.hand_over(first)
    assert number_of(begun[0]) == 2
    again = two.claim()
    assert number_of(again) == 0 and again.params == first.params
    for trial in (begun[0], again, second):
        two.complete(trial, 0.5)
    assert [number_of(trial) for trial in one.counted()] == [0, 1] and one.settled


@pytest.mark.parametrize(
    "choices", [[4, 8], [0.1, 1], [None, 4], ["voxel", "NA"], [True, False], ["1e5", "2"]]
)
def test_choices_of_every_kind_are_drawn(tmp_path, choices):
    """Tables have 4 as 4.0 beside a trial that waits, and nothing as what is missing."""
    info = {"space": {"x": {"choices": choices}}, "objective": "dice"}
    (tmp_path / "tuning.yaml").write_text(yaml.safe_dump(info))
    rows = [(n, "finished", n / 10, choice) for n, choice in enumerate(choices)]
    table = pd.DataFrame(
        [*rows, (2, "waiting", None, None)], columns=["trial", "state", "value", "x"]
    )
    table.assign(error=None).to_csv(tmp_path / "trials.csv", index=False)
    axis = parameter_figure(TuningRecord.read(tmp_path)).axes[0]
    assert axis.collections[0].get_offsets()[:, 0].tolist() == [0, 1]


def test_only_studies_of_one_dataset_objective_and_direction_share_a_box():
    def record(folder, data, values, **info):
        info |= {"label": "HRL", "config": {"data": {"path": data}}}
        trials = {"trial": range(len(values)), "state": "finished", "value": values}
        study = TuningRecord(Path(folder), info)
        study.__dict__["trials"] = pd.DataFrame(trials)
        return study

    studies = [
        record("a", "/kidney/masks", [0.9, 0.7], objective="dice"),
        record("b", "/kidney/masks", [0.8], objective="dice"),
        record("c", "/liver/masks", [0.3], objective="dice"),
        record("d", "/liver/masks", [0.2, 0.1], objective="loss", direction="minimize"),
        record("e", "/skin", [0.2, 0.1], objective="loss"),
    ]
    table = stability_table(studies).set_index(["dataset", "objective"])
    assert table["trials"].to_dict() == {
        ("kidney/masks", "dice"): 3,
        ("liver/masks", "dice"): 1,
        ("liver/masks", "loss"): 2,
        ("skin", "loss"): 2,
    }
    assert table["best"].tolist() == [0.9, 0.3, 0.1, 0.2]
    panels = stability_figure(studies).axes
    assert [(a.get_title("left"), a.get_ylabel()) for a in panels] == table.index.tolist()


def test_parameters_of_one_short_name_have_a_bar_each(tmp_path):
    shares = {"loss_options.alpha": 0.5, "selection.options.alpha": 0.3, "loss_options.q": 0.2}
    table = pd.DataFrame({"parameter": list(shares), "importance": list(shares.values())})
    table.to_csv(tmp_path / "importance.csv", index=False)
    axis = importance_figure(TuningRecord(tmp_path, {})).axes[0]
    labels = [tick.get_text() for tick in axis.get_yticklabels()]
    assert labels == ["q", "selection.options.alpha", "loss_options.alpha"]
    assert [bar.get_width() for bar in axis.patches] == [0.2, 0.3, 0.5]


def test_failed_trials_are_tried_again_on_request(study):
    """Under their own numbers and parameters; a study without failures is left alone."""
    options = {"trials": 6, "epochs": 1}
    first = study("diverge", **options)
    failed = list(first.trials.query("state == 'failed'")["trial"])
    assert 0 < len(failed) < 6
    script = study.script
    script.write_text(script.read_text().replace('behaviour == "diverge" and q > 0.5', "False"))
    assert list(study("diverge", **options).trials["state"]) == list(first.trials["state"])
    again = study("diverge", retry=True, **options)
    assert list(again.trials["state"]) == ["finished"] * 6
    assert list(again.trials["trial"]) == list(range(6))
    pd.testing.assert_series_equal(again.trials["loss_options.q"], first.trials["loss_options.q"])
    counts = starts(again)
    assert all(counts[trial] == (2 if trial in failed else 1) for trial in range(6))
    study("diverge", retry=True, **options)
    assert starts(again) == counts


def test_a_table_of_trials_that_was_cut_is_refused_and_written_again(study):
    record = study(trials=3, epochs=1)
    path = record.folder / "trials.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    with pytest.raises(DamagedFileError, match=r"trials\.csv"):
        _ = TuningRecord.read(record.folder).trials
    again = study(trials=3, epochs=1)
    assert path.read_bytes() == whole and len(again.trials) == 3


def test_a_study_goes_on_with_the_same_images_alone(study):
    study(trials=1, epochs=1)
    moved = study(trials=1, epochs=1, content=lambda config: "the same")
    assert len(moved.trials) == 1
    with pytest.raises(ValueError, match="images and masks that the study"):
        study(trials=2, epochs=1, content=lambda config: "others")
