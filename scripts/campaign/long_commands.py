"""The long commands of a campaign on tiny data, and what two of their outcomes have in common."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import yaml
from PIL import Image

from keras_robust.common.files import locked

HERE = Path(__file__).parent
SECONDS = 600  # that a command may take
COMMAND = (sys.executable, "-m", "keras_robust.cli")


@dataclass(frozen=True)
class LongCommand:
    """A command that is disturbed and repeated.

    `arguments` makes its words from the folder of the data and the folder for the output;
    `prepare` fills the latter. `light` ones need no TensorFlow, those `of_runs` a study.
    """

    name: str
    arguments: Callable[[Path, Path], list[str]]
    light: bool = False
    of_runs: bool = False
    prepare: Callable[[Path, Path], None] = field(default=lambda data, folder: None)


def _studied(data: Path, folder: Path) -> None:
    shutil.copytree(data / "runs", folder / "runs")


COMMANDS = [
    LongCommand(
        "simulate",
        lambda data, out: ["simulate", f"{data}/images", "--alpha", "0.6", "--beta", "0.5",
                           "--annotator", "anna", "--output", f"{out}/new", "--workers", "2"],
        light=True,
    ),
    LongCommand(
        "mix",
        lambda data, out: ["mix", f"{data}/images", "--annotator", "anna", "--annotator", "ben",
                           "--output", f"{out}/new"],
        light=True,
    ),
    LongCommand(
        "consensus",
        lambda data, out: ["agree", f"{data}/images", "--consensus", "staple",
                           "--output", f"{out}/new"],
        light=True,
    ),
    LongCommand(
        "preprocess",
        lambda data, out: ["preprocess", f"{data}/volumes", "--plan", f"{out}/plan",
                           "--workers", "2"],
        light=True,
        prepare=lambda data, out: shutil.copytree(data / "plan", out / "plan") and None,
    ),
    LongCommand(
        "train",
        lambda data, out: ["train", "--config", f"{data}/train.yaml",
                           "--output", f"{out}/run", "--resume"],
    ),
    LongCommand(
        "train by a plan",
        lambda data, out: ["train", "--config", f"{data}/planned.yaml",
                           "--set", f"plan.folder={out}/plan",
                           "--output", f"{out}/run", "--resume"],
        prepare=lambda data, out: shutil.copytree(data / "plan", out / "plan") and None,
    ),
    LongCommand(
        "benchmark",
        lambda data, out: ["benchmark", f"{data}/study.yaml", "--output", f"{out}/runs",
                           "--jobs", "2", "--threads", "1"],
    ),
    LongCommand(
        "tune",
        lambda data, out: ["tune", "--config", f"{data}/train.yaml",
                           "--space", f"{data}/space.yaml",
                           "--trials", "2", "--epochs", "2", "--threads", "1",
                           "--output", f"{out}/study"],
    ),
    LongCommand(
        "audit",
        lambda data, out: ["audit", f"{data}/images", "--annotator", "anna", "--folds", "2",
                           "--epochs", "1", "--size", "16x16", "--set", "model.features=2",
                           "--set", "batch_size=4", "--output", f"{out}/audit"],
    ),
    LongCommand(
        "predict",
        lambda data, out: ["predict", f"{data}/images", f"{data}/runs/t_a0_b0_f0_s0",
                           "--probabilities", "--output", f"{out}/masks"],
        of_runs=True,
    ),
    LongCommand(
        "crossval",
        lambda data, out: ["crossval", f"{out}/runs", "--output", f"{out}/report"],
        of_runs=True,
        prepare=_studied,
    ),
]  # fmt: skip


def make_data(folder: Path) -> Path:
    """Images and volumes with masks, the configurations, a plan, and the runs of a study."""
    rng = np.random.default_rng(0)
    for name in ("images", "volumes"):
        (folder / name).mkdir(parents=True)
    lines = ["id,image,mask,annotator,split"]
    for number in range(8):
        image = rng.integers(0, 90, (24, 24, 3)).astype(np.uint8)
        for annotator, size in (("anna", 12), ("ben", 10)):
            mask = np.zeros((24, 24), np.uint8)
            mask[4 : 4 + size, 3 + number : 3 + number + size] = 255
            image[mask > 0] |= 128
            Image.fromarray(mask).save(folder / f"images/{annotator}{number}.png")
            split = "test" if number > 5 else "train"
            lines.append(f"c{number},i{number}.png,{annotator}{number}.png,{annotator},{split}")
        Image.fromarray(image).save(folder / f"images/i{number}.png")
    (folder / "images/manifest.csv").write_text("\n".join(lines) + "\n")
    lines = ["id,image,mask,annotator,split"]
    for number in range(4):
        mask = np.zeros((12, 12, 12), np.uint8)
        mask[3:8, 3 : 6 + number, 3:8] = 1
        values = (90 * mask + rng.integers(0, 40, mask.shape)).astype(np.int16)
        for name, array in (("v", values), ("m", mask)):
            path = folder / f"volumes/{name}{number}.nii.gz"
            nibabel.Nifti1Image(array, np.eye(4)).to_filename(path)
        split = "test" if number > 2 else "train"
        lines.append(f"v{number},v{number}.nii.gz,m{number}.nii.gz,anna,{split}")
    (folder / "volumes/manifest.csv").write_text("\n".join(lines) + "\n")
    base: dict[str, Any] = {
        "data": {"path": f"{folder}/images", "size": [16, 16], "annotator": "anna"},
        "model": {"features": 2, "depth": 2},
        "epochs": 3,
        "batch_size": 3,
        "evaluate_last": 2,
        "save_predictions": 2,
        "threads": 1,
    }
    plan = {"folder": f"{folder}/plan", "patch_size": [8, 8, 8], "features": 2,
            "steps_per_epoch": 2, "batch_size": 2}  # fmt: skip
    planned = {"data": {"path": f"{folder}/volumes"}, "plan": plan, "epochs": 2, "threads": 1}
    of_study = {key: value for key, value in base.items() if key != "threads"} | {"epochs": 2}
    study = {"base": of_study, "losses": ["t", "ce+dice"], "noise": [[0, 0]], "folds": 2,
             "seeds": [0]}  # fmt: skip
    space = {"learning_rate": {"low": 0.0001, "high": 0.01, "log": True}}
    texts = {"train": base, "planned": planned, "study": study, "space": space}
    for name, content in texts.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


def fill_data(data: Path, commands: list[LongCommand]) -> None:
    """The plan and the runs that some commands start from."""
    must(["plan", f"{data}/volumes", "--output", f"{data}/plan"])
    if any(command.of_runs for command in commands):
        must(["benchmark", f"{data}/study.yaml", "--output", f"{data}/runs", "--threads", "1"])


def must(arguments: list[str]) -> None:
    """Run a command that has to succeed."""
    done = run(arguments, {})
    if done.returncode:
        raise RuntimeError(f"{arguments}: {done.stderr[-2000:]}")


def run(arguments: list[str], plan: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a command with a disturbance, or none."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE / "disturbed"), os.environ.get("PYTHONPATH", "")]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
    if plan:
        environment["CAMPAIGN"] = json.dumps(plan)
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True, text=True, env=environment, timeout=SECONDS,
    )  # fmt: skip


def wait_for_orphans(folder: Path) -> None:
    """Until the workers that outlive a killed command have ended."""
    end = time.monotonic() + SECONDS
    for lock in folder.rglob("worker.lock"):
        while time.monotonic() < end:
            try:
                with locked(lock, wait=False):
                    break
            except BlockingIOError:
                time.sleep(0.2)


def counted(counts: Path) -> dict[str, int]:
    """Most writes of a process, by kind."""
    found: dict[str, int] = {}
    for path in counts.iterdir():
        kind = path.name.partition("-")[0]
        found[kind] = max(found.get(kind, 0), path.stat().st_size)
    return {kind: number for kind, number in found.items() if number}


# Of the hour, the process or the machine; or made of what is compared, as pages with figures.
_PASSING = re.compile(
    r"(.*/)?(\.[^/]*lock|[^/]*\.lock|worker\.pid|log\.txt|study\.db.*|[^/]*\.html|[^/]*\.png\.tmp)"
    r"|(.*/)?(tensorboard|owners)/.*"
)
_TIMES = ("seconds", "started", "finished", "attempts", "host", "artefacts")


def outcome(folder: Path) -> dict[str, str]:
    """Hash of every file under a folder, without what differs from run to run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not _PASSING.fullmatch(name):
            # Configurations name the folder of the output.
            content = _lasting(path).replace(str(folder).encode(), b"OUT")
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def leftovers(folder: Path) -> list[str]:
    """Files and folders that only a write in progress has."""
    return [
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.name.endswith(".tmp") or path.name.endswith("-journal")
    ]


def _lasting(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name in ("history.csv", "trials.csv"):
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        return json.dumps([_without_times(row) for row in rows]).encode()
    if path.name in ("run.json", "audit.json", "history.json", "tuning.yaml"):
        return json.dumps(_without_times(yaml.safe_load(content)), sort_keys=True).encode()
    if path.name == "manifest.json" and path.parent.name.isdigit():
        files = json.loads(content)["files"]
        return json.dumps({name: files[name] for name in files if name != "history.json"}).encode()
    return content


def _without_times(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    if isinstance(value, dict):
        return {key: _without_times(v) for key, v in value.items() if key not in _TIMES}
    return value
