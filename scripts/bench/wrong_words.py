"""What every command says to a wrong path, a wrong value or a wrong name, and after how long.

Writes docs/results/wrong_words.md. Each line is a process of its own; its seconds are those of the
processor, so that what else the machine does is left out. A line is as it should be where the
command ends with exit code 2 and a message without traceback, has imported no Keras, and has left
nothing in its output folder.

usage: python scripts/bench/wrong_words.py [--only COMMAND]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_robust.data import sample_path

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "wrong_words.md"
MOST_S = 0.8  # of a path; a value or a name may ask for more to be looked at
HANGS_S = 120
FRAMEWORKS = ("tensorflow", "keras", "jax", "torch")
SAMPLE = str(sample_path())
# Wrong words by command: what is right stands before them. RUN is a finished run, STUDY its file.
WRONG = {
    "verify": ["nowhere", "SAMPLE --workers 0"],
    "import": ["nowhere new", "SAMPLE new --format x", "SAMPLE new --unmarked x",
               "SAMPLE new --format folders --masks nowhere"],
    "export": ["nowhere --format coco -o new", "SAMPLE --format x -o new",
               "SAMPLE --format coco --annotator x -o new",
               "SAMPLE --format coco --split x -o new"],
    "simulate": [f"{words} -o new" for words in (
        "nowhere --alpha .5 --beta .5", "SAMPLE --alpha 2 --beta .5", "SAMPLE --alpha .5",
        "SAMPLE --alpha .5 --beta .5 --kinds x", "SAMPLE --alpha .5 --beta .5 --mode x",
        "SAMPLE --alpha .5 --beta .5 --annotator x", "SAMPLE --alpha .5 --beta .5 --split x",
        "SAMPLE --alpha .5 --beta .5 --part 3/2", "SAMPLE --alpha .5 --beta .5 --cluster x",
        "SAMPLE --mean-dice 2")],
    "mix": ["nowhere --annotator a -o new", "SAMPLE --annotator x -o new"],
    "plan": ["nowhere -o new", "SAMPLE --preset x -o new", "SAMPLE --annotator x -o new",
             "SAMPLE --split x -o new", "SAMPLE --memory-gib -1 -o new"],
    "preprocess": ["nowhere", "SAMPLE --plan nowhere", "SAMPLE --configuration x",
                   "SAMPLE --annotator x", "SAMPLE --split x", "SAMPLE --part x"],
    "train": ["nowhere", "--config nowhere.yaml", "SAMPLE --loss x", "SAMPLE --loss t+x",
              "SAMPLE --annotator x", "SAMPLE --clean-annotator x", "SAMPLE --size x",
              "SAMPLE --epochs 0", "SAMPLE --batch-size 0", "SAMPLE --configuration x",
              "SAMPLE --configuration 3d_cascade_fullres --previous nowhere", "SAMPLE --set x",
              "SAMPLE --set x=1", "SAMPLE --set model.name=x", "SAMPLE --set selection.name=x",
              "SAMPLE --set loss_options.x=1", "SAMPLE --set data.split=x",
              "SAMPLE --set data.test_split=x", "SAMPLE --devices x", "SAMPLE --data nowhere",
              "--output nowhere --resume", "SAMPLE --set plan.folder=nowhere"],
    "predict": ["nowhere RUN -o new", "SAMPLE nowhere -o new", "SAMPLE nowhere.keras -o new",
                "SAMPLE RUN --split x -o new", "SAMPLE RUN --normalize x -o new",
                "SAMPLE RUN --peers x -o new", "SAMPLE RUN --part x -o new",
                "SAMPLE RUN --cluster x -o new", "SAMPLE RUN --devices x -o new"],
    "evaluate": ["nowhere RUN", "SAMPLE nowhere", "SAMPLE nowhere.keras",
                 "SAMPLE RUN --annotator x", "SAMPLE RUN --split x", "SAMPLE RUN --grid x",
                 "SAMPLE RUN --normalize x", "SAMPLE RUN --peers x",
                 "SAMPLE RUN --tolerance -1 --details new.csv"],
    "agree": ["nowhere", "SAMPLE --annotator x", "SAMPLE --split x", "SAMPLE --consensus x"],
    "audit": ["nowhere", *(f"SAMPLE {words} -o new" for words in (
        "--annotator x", "--train-on x", "--split x", "--predictions nowhere", "--loss x",
        "--size x", "--set x=1", "--set model.name=x", "--set loss_options.x=1", "--score x",
        "--truth x", "--wrong-below 3", "--truth x --wrong-below 3", "--part x",
        "--cluster x", "--folds 1", "--devices x"))],
    "refine": ["nowhere", "SAMPLE --audit nowhere -o new", "SAMPLE --audit SAMPLE -o new",
               "SAMPLE --truth x -o new", "SAMPLE --set x=1 -o new"],
    "view": ["nowhere", "SAMPLE --sample", "SAMPLE --audit nowhere"],
    "review-report": ["nowhere", "SAMPLE --reviewer x"],
    "compare": ["nowhere --losses t", "SAMPLE", *(f"SAMPLE --losses {words} -o new" for words in (
        "t x", "t --annotator x", "t --clean-annotator x", "t --config nowhere.yaml",
        "t --set x=1", "t --size x", "t --cluster x", "t --folds 1", "t --set model.name=x"))],
    "benchmark": ["nowhere.yaml", "STUDY --part x -o new", "STUDY --cluster x -o new",
                  "STUDY --data nowhere -o new", "WRONG_LOSS -o new", "WRONG_ANNOTATOR -o new",
                  "STUDY --devices x -o new"],
    "report": ["nowhere", "SAMPLE", "RUN --data nowhere"],
    "crossval": ["nowhere", "SAMPLE", "RUN --data nowhere", "RUN --baseline x"],
    "choose": ["nowhere", "SAMPLE", "RUN", "RUN --data nowhere"],
    "tune": ["nowhere --space cot", "SAMPLE", *(f"SAMPLE --space {words} -o new" for words in (
        "x", "nowhere.yaml", "cot --config nowhere.yaml", "cot --objective x", "cot --pruner x",
        "cot --storage x", "cot --set x=1", "cot --set loss=x", "cot --cluster x",
        "cot --set data.annotator=x"))],
    "stability": ["nowhere", "SAMPLE"],
    "demo": ["--size 1", "--jobs 0", "-o FILE"],
}  # fmt: skip
_PROGRAM = """
import json, sys, time
from keras_robust.cli import app
code = 0
try:
    app()
except SystemExit as ended:
    code = ended.code or 0
found = sorted({frameworks!r} & set(sys.modules))
print("FOUND", json.dumps([code, found, time.process_time()]), file=sys.stderr)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="of the commands; nothing is written then")
    only = parser.parse_args().only
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for row in measured(Path(folder), only):
            rows.append(row)
            print(f"{row['seconds']:5.2f} s  {row['line']}", flush=True)
            if not row["right"]:
                print(f"    {row['code']} {row['found']} {row['said']}", flush=True)
    bad = [row for row in rows if not row["right"]]
    print(f"{len(rows) - len(bad)} of {len(rows)} as they should be")
    if only is None:
        RESULTS.write_text(page(rows), encoding="utf-8")
    sys.exit(bool(bad))


def measured(folder: Path, only: str | None) -> Iterator[dict]:
    names = prepared(folder)
    for command, lines in WRONG.items():
        for line in lines if only in (None, command) else ():
            words = [names.get(word, word) for word in line.split()]
            yield {"line": f"{command} {line}", **tried([command, *words], folder)}


def prepared(folder: Path) -> dict[str, str]:
    """Files that are right, by their word."""
    program = Path(sys.executable).with_name("keras-robust")
    small = ["--size", "16x16", "--epochs", "1", "--steps-per-epoch", "1", "--batch-size", "2"]
    small += ["--set", "model.features=2", "--set", "model.depth=1", "-o", "run"]
    subprocess.run([program, "train", SAMPLE, *small], cwd=folder, check=True, capture_output=True)
    base = {"data": {"path": SAMPLE, "size": [16, 16]}, "epochs": 1}
    study = {"base": base, "losses": ["ce"], "noise": ["clean"], "seeds": [0]}
    annotator = {**study, "base": {**base, "data": {**base["data"], "annotator": "x"}}}
    files = {"STUDY": study, "WRONG_LOSS": {**study, "losses": ["x"]}, "WRONG_ANNOTATOR": annotator}
    for name, content in files.items():
        (folder / f"{name.lower()}.yaml").write_text(json.dumps(content), encoding="utf-8")
    (folder / "file").touch()
    named = {name: f"{name.lower()}.yaml" for name in files}
    return {"SAMPLE": SAMPLE, "RUN": "run", "FILE": "file", **named}


def tried(words: list[str], folder: Path) -> dict:
    program = _PROGRAM.format(frameworks=set(FRAMEWORKS))
    # Compiled modules are kept, as they are for every user.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    shown = {"NO_COLOR": "1", "COLUMNS": "1000", "QT_QPA_PLATFORM": "offscreen"}
    command = ["timeout", str(HANGS_S), sys.executable, "-c", program, *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment | shown
    )
    said, _, found = done.stderr.partition("FOUND ")
    code, frameworks, seconds = json.loads(found or '["does not end, or crashed", [], 0]')
    left = (folder / "new").exists()
    shutil.rmtree(folder / "new", ignore_errors=True)
    text = " ".join(said.replace("│", " ").split())
    return {
        "code": code,
        "found": frameworks,
        "seconds": seconds,
        "said": text[-400:],
        "right": code == 2
        and not frameworks
        and not left
        and "Traceback" not in said
        and bool(text),
    }


def page(rows: list[dict]) -> str:
    slowest = max(rows, key=lambda row: row["seconds"])
    within = sum(row["seconds"] <= MOST_S for row in rows)
    right = sum(row["right"] for row in rows)
    lines = [
        "# Wrong paths, values and names\n",
        "Every command with something wrong after what is right: it ends with exit code 2 and a",
        f"message before TensorFlow is imported in {right} of {len(rows)} lines. Seconds are those",
        f"of the processor; {within} lines take {MOST_S} at most, the slowest,",
        f"`{slowest['line']}`, {slowest['seconds']:.2f}. Measured by",
        "`scripts/bench/wrong_words.py`.\n",
        "| keras-robust | seconds | as it should be |",
        "|---|---|---|",
    ]
    for row in rows:
        ends = "yes" if row["right"] else f"no: {row['code']} {', '.join(row['found'])}"
        lines.append(f"| `{row['line']}` | {row['seconds']:.2f} | {ends} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
