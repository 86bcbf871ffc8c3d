"""The protocol in one call: what is found flows on, and what is done is not done again."""

import sys

import pandas as pd
import pytest
import yaml

from keras_robust.studies import Protocol, protocol, run_protocol
from keras_robust.training import TrainConfig

# Stands in for training: the Dice of exponent q is 1 - |q - 0.3| in fold 0 and 1 - |q - 0.9| in 1.
FAKE = """
import json, sys, yaml
from pathlib import Path
folder = Path(sys.argv[1])
config = yaml.safe_load((folder / "config.yaml").read_text())
with open(folder / "starts.txt", "a") as file:
    file.write("start\\n")
best = (0.3, 0.9)[config["data"]["fold"][0]]
dice = 1 - abs(config["loss_options"].get("q", 0) - best)
rows = [f"{epoch},{epoch},0.5,{dice}" for epoch in range(1, config["epochs"] + 1)]
(folder / "history.csv").write_text("\\n".join(["epoch,step,loss,dice_train", *rows]) + "\\n")
(folder / "run.json").write_text(json.dumps({"status": "finished", "seed": config["seed"]}))
"""


@pytest.fixture
def study(tmp_path, study_data, monkeypatch):
    (tmp_path / "fake.py").write_text(FAKE)
    told = {}

    def scored(runs, progress, one_peer):
        told["scored"] = len(runs)

    def report(paths, output, title, baseline, foreword):
        told["baseline"], told["foreword"] = baseline, "".join(foreword)
        output.mkdir(exist_ok=True)
        rows = pd.DataFrame({"method": ["CE+Dice", "GCE"], "dice": [0.5, 0.75]})
        rows.to_csv(output / "scores.csv")
        return output / "report.html"

    monkeypatch.setattr(protocol, "score_runs", scored)
    written = "keras_robust.studies.crossval.report.write_cross_validation_report"
    monkeypatch.setattr(written, report)

    def run(asked):
        config = TrainConfig(data={"path": study_data, "size": (16, 16)}, epochs=2, loss="mae")
        command = [sys.executable, str(tmp_path / "fake.py")]
        return run_protocol(
            config, tmp_path / "out", asked, jobs=2, command=command, check=list, poll_seconds=0.02
        )

    run.runs, run.told = tmp_path / "out" / "runs", told
    return run


def configs(folder):
    return {
        path.parent.name: yaml.safe_load(path.read_text())
        for path in sorted(folder.glob("*/config.yaml"))
    }


@pytest.mark.parametrize("per_fold", [False, True])
def test_what_is_found_flows_on_by_itself(study, per_fold):
    trials = 5 if per_fold else 1
    asked = Protocol(("ce+dice", "gce"), 2, trials=trials, trial_epochs=1, per_fold=per_fold)
    done = study(asked)
    assert done.dice == {"ce+dice": 0.5, "gce": 0.75} and study.told["baseline"] == "CE+Dice"
    found = done.tuned["gce"]
    assert list(done.tuned) == ["gce"] and set(found) == ({0, 1} if per_fold else {0})
    trained = configs(study.runs)
    assert len(trained) == study.told["scored"] == 4
    for name, config in trained.items():
        fold = config["data"]["fold"][0]
        if config["loss"] == "gce":
            assert config["loss_options"] == found[fold if per_fold else 0]["loss_options"]
        else:
            assert (config["loss"], config["loss_options"]) == ("ce+dice", {}), name
        # Six images: two a step, ten steps an epoch, whatever the configuration leaves out.
        assert (config["batch_size"], config["steps_per_epoch"], config["epochs"]) == (2, 10, 2)
    assert "Nothing is searched of CE+Dice" in study.told["foreword"]
    if per_fold:
        q = [found[fold]["loss_options"]["q"] for fold in (0, 1)]
        assert q[0] < q[1]
        again = study(asked)
        assert again.tuned == done.tuned
        assert {path.read_text() for path in study.runs.glob("*/starts.txt")} == {"start\n"}


def test_without_trials_all_have_their_defaults(study):
    done = study(Protocol(("gce", "t+dice-cot"), 2, seeds=(0, 1)))
    assert done.tuned == {} and done.state.count("finished") == 8
    peers = [config for config in configs(study.runs).values() if config["selection"]]
    assert len(peers) == 4 and {config["loss"] for config in peers} == {"t+dice"}
    assert "None was tuned" in study.told["foreword"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ()}, "`methods`"),
        ({"methods": ("t", "t")}, "`methods`.*different"),
        ({"methods": ("t",), "folds": 1}, "folds >= 2"),
        ({"methods": ("t",), "seeds": ()}, "`seeds`"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Protocol(**options)
