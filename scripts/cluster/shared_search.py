"""A search of hyper-parameters on a PostgreSQL by four processes, one of which dies in the middle.

    scripts/cluster/postgres.sh .venv/bin/python scripts/cluster/shared_search.py

Each process is `keras_robust.tuning.tune` with a folder of its own, as on machines that share
nothing but the database; a trial is a stand-in that writes an epoch every fifth of a second. One
process is killed with SIGKILL, with what it trains. Ends with 1 unless every trial is there once
and finished, those of the dead process among them, and taken up within the heartbeat.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIALS, HEARTBEAT, PROCESSES = 24, 10.0, 4
TRIAL = """
import json, os, sys, time, yaml
from pathlib import Path
from keras_robust.common.files import locked
folder = Path(sys.argv[1])
with locked(folder / "worker.lock", wait=False):
    q = yaml.safe_load((folder / "config.yaml").read_text())["loss_options"]["q"]
    history = folder / "history.csv"
    with history.open("w") as file:
        file.write("epoch,loss,dice_train\\n")
        for epoch in range(1, 11):
            time.sleep(0.2)
            file.write(f"{epoch},0.5,{0.9 - (q - 0.7) ** 2 - 0.1 / epoch}\\n")
            file.flush()
    (folder / "run.json").write_text(json.dumps({"status": "finished"}))
"""


def search(folder: str, script: str) -> None:
    """What each of the processes does."""
    from keras_robust.tuning.space import Range, Space
    from keras_robust.tuning.tune import tune

    tune(
        {"data": {"path": "lesions"}, "epochs": 200},
        folder,
        Space(fixed={"loss": "gce"}, search={"loss_options.q": Range(low=0.1, high=1)}),
        trials=TRIALS,
        epochs=10,
        objective="dice_train",
        storage=os.environ["STORAGE"],
        study="shared",
        heartbeat_seconds=HEARTBEAT,
        poll_seconds=0.1,
        command=[sys.executable, script],
        complete=dict,
        check=list,
        content=lambda config: "the same",
        threads=1,
    )


def main() -> int:
    """Returns the exit code."""
    import optuna

    root = Path(tempfile.mkdtemp())
    (root / "trial.py").write_text(TRIAL)
    words = [sys.executable, __file__]
    folders = [root / f"machine-{number}" for number in range(1, PROCESSES + 1)]
    processes = [
        subprocess.Popen([*words, str(folder), str(root / "trial.py")], stdout=subprocess.DEVNULL)
        for folder in folders
    ]
    while not (folders[0] / "trials").is_dir() or len(list(folders[0].glob("trials/*"))) < 2:
        time.sleep(0.1)
    children = subprocess.run(
        ["pgrep", "--parent", str(processes[0].pid)], capture_output=True, text=True
    ).stdout.split()
    for pid in (processes[0].pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    died = time.time()
    print(f"process 1 of {PROCESSES} was killed, with what it trained")
    codes = [process.wait() for process in processes]
    trials = optuna.load_study(study_name="shared", storage=os.environ["STORAGE"]).trials
    finished = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    numbers = sorted(trial.user_attrs["run"] for trial in finished)
    again = [trial for trial in finished if "again" in trial.user_attrs]
    print(f"exit codes {codes}; {len(trials)} entries in the database, {len(finished)} finished")
    right = numbers == list(range(TRIALS)) and codes == [-signal.SIGKILL, 0, 0, 0]
    print(f"trials {numbers[0]} to {numbers[-1]}: {'each once' if right else 'NOT each once'}")
    for trial in again:
        waited = trial.datetime_start.timestamp() - died
        right &= waited <= HEARTBEAT
        print(
            f"trial {trial.user_attrs['run']} of the dead process was taken up after "
            f"{waited:.1f} s, with a heartbeat of {HEARTBEAT:g} s"
        )
    return 0 if right and again else 1


if __name__ == "__main__":
    sys.exit(search(*sys.argv[1:]) if len(sys.argv) > 1 else main())
