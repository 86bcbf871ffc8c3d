"""Find the loss that is best on validation images, and say how it does on test images.

    python scripts/best_loss.py docs/results/tloss/runs/isic data/isic2018_task1_128

Reads the run folders that `scripts/reproduce_tloss.py` left. Every finished run at the hardest
noise is scored on the validation split against clean masks, with the weights of its last epoch; the
loss with the highest mean over seeds is the choice. Test Dice (mean over the last 10 epochs) stands
beside it and decides nothing. Scores are kept in the runs (`validation.csv`), the table in
`docs/results/tloss/best_loss.md`.
"""

import argparse
from pathlib import Path

import pandas as pd

from keras_robust.common.files import atomic_write_text
from keras_robust.inference import evaluate
from keras_robust.scheduling.records import RunRecord, find_runs
from keras_robust.studies.tables import label_of, markdown, setting_label


def validation_dice(run: RunRecord, data: Path, split: str) -> float:
    """Mean Dice of the run's last weights on the validation split, kept with the run."""
    path = run.folder / "validation.csv"
    if not path.is_file():
        evaluate(run.folder, data, split=split).write_csv(path)
    return float(pd.read_csv(path)["dice"].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    parser.add_argument("data", type=Path, help="dataset folder")
    parser.add_argument("--split", default="val", help="validation split")
    parser.add_argument("--output", type=Path, default=Path("docs/results/tloss/best_loss.md"))
    arguments = parser.parse_args()
    runs = [run for run in find_runs(arguments.runs) if run.status == "finished"]
    hardest = max(run.setting for run in runs)
    rows = [
        {
            "loss": label_of(run),
            "validation": validation_dice(run, arguments.data, arguments.split),
            "test": run.mean_of_last(),
        }
        for run in runs
        if run.setting == hardest
    ]
    by_loss = pd.DataFrame(rows).groupby("loss")
    table = by_loss.mean().map("{:.3f}".format).join(by_loss.size().rename("seeds"))
    table = table.sort_values("validation", ascending=False)
    heading = f"# The best loss on validation images\n\nAt {setting_label(hardest)}; mean Dice."
    text = f"{heading}\n\n{markdown(table)}"
    atomic_write_text(arguments.output, text + "\n")
    print(text)


if __name__ == "__main__":
    main()
