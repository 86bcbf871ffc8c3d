"""Which components nnU-Net 2.8 removes, and which this project, on random predictions.

Runs where nnU-Net is installed, with the project on the path:

    PYTHONPATH=. python scripts/nnunet/components.py --output docs/results/nnunet
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.files import atomic_write_json
from keras_robust.planning.components import choose_components


class Serial:
    """In place of the pools of nnU-Net, each of which starts processes that import PyTorch."""

    def Pool(self, *_):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def starmap(self, function, values):
        return [function(*value) for value in values]


def boxes(generator: np.random.Generator, shape: tuple[int, ...], label: int, labels: NDArray):
    """Paint a box of a label, whose size is drawn."""
    size = [int(generator.integers(1, max(2, edge // 2))) for edge in shape]
    start = [int(generator.integers(0, edge - n + 1)) for edge, n in zip(shape, size, strict=True)]
    labels[tuple(slice(s, s + n) for s, n in zip(start, size, strict=True))] = label


def draw(seed: int) -> dict:
    """Masks and predictions of a data set: boxes, and a few that should not be there."""
    generator = np.random.default_rng(seed)
    classes = int(generator.integers(2, 6))
    regions = classes > 2 and generator.random() < 0.3
    ignored = generator.random() < 0.2
    pairs = []
    for _ in range(int(generator.integers(2, 7))):
        shape = tuple(int(n) for n in generator.integers(5, 14, size=3))
        if generator.random() < 0.2:
            shape = (1, *shape[1:])
        mask = np.zeros(shape, np.uint8)
        for label in range(1, classes):
            for _ in range(int(generator.choice([0, 1, 1, 1, 2]))):
                boxes(generator, shape, label, mask)
        predicted = mask.copy()
        for _ in range(int(generator.integers(0, 5))):
            boxes(generator, shape, int(generator.integers(0, classes)), predicted)
        for _ in range(int(generator.integers(0, 6))):  # specks
            at = tuple(int(generator.integers(0, n)) for n in shape)
            predicted[at] = generator.integers(0, classes)
        if ignored:
            boxes(generator, shape, classes, mask)
        pairs.append((predicted, mask))
    return {
        "classes": classes,
        "regions": tuple(tuple(range(n, classes)) for n in range(1, classes)) if regions else (),
        "ignore_label": classes if ignored else None,
        "pairs": pairs,
    }


def by_nnunet(drawn: dict, folder: Path) -> dict:
    """What `determine_postprocessing` decides of files."""
    import SimpleITK
    from nnunetv2.postprocessing.remove_connected_components import determine_postprocessing

    for number, pair in enumerate(drawn["pairs"]):
        for name, array in zip(("predicted", "masks"), pair, strict=True):
            (folder / name).mkdir(parents=True, exist_ok=True)
            image = SimpleITK.GetImageFromArray(array)
            SimpleITK.WriteImage(image, str(folder / name / f"c{number}.nii.gz"))
    regions = drawn["regions"]
    labels: dict = {"background": 0}
    for number in range(1, drawn["classes"]):
        labels[f"l{number}"] = list(regions[number - 1]) if regions else number
    if drawn["ignore_label"] is not None:
        labels["ignore"] = drawn["ignore_label"]
    dataset = {"labels": labels, "file_ending": ".nii.gz", "channel_names": {"0": "MRI"}}
    if regions:
        dataset["regions_class_order"] = list(range(1, drawn["classes"]))
    plans = {"image_reader_writer": "SimpleITKIO", "label_manager": "LabelManager"}
    _, options = determine_postprocessing(
        str(folder / "predicted"), str(folder / "masks"), plans, dataset, 1, False
    )
    from nnunetv2.evaluation.evaluate_predictions import load_summary_json

    groups = [option["labels_or_regions"] for option in options]
    means = load_summary_json(str(folder / "predicted" / "summary.json"))["mean"]
    return {
        "largest": [_group(group) for group in groups],
        "before": [float(value["Dice"]) for value in means.values()],
    }


def _group(group) -> list[int]:
    return [int(n) for n in group] if isinstance(group, list | tuple) else [int(group)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("docs/results/nnunet"))
    options = parser.parse_args()
    for name in ("raw", "preprocessed", "results"):
        os.environ.setdefault(f"nnUNet_{name}", tempfile.gettempdir())
    multiprocessing.get_context = lambda *_: Serial()  # type: ignore[assignment]
    rows = []
    for seed in range(options.cases):
        drawn = draw(seed)
        folder = Path(tempfile.mkdtemp())
        theirs = by_nnunet(drawn, folder)
        shutil.rmtree(folder)
        ours = choose_components(
            drawn["pairs"], drawn["classes"], drawn["regions"], drawn["ignore_label"]
        )
        largest = [list(group) for group in ours.largest]
        rows.append(
            {
                "seed": seed,
                "classes": drawn["classes"],
                "regions": bool(drawn["regions"]),
                "cases": len(drawn["pairs"]),
                "nnunet": theirs["largest"],
                "ours": largest,
                "dice_equal": bool(np.array_equal(theirs["before"], ours.before, equal_nan=True)),
            }
        )
    equal = sum(row["nnunet"] == row["ours"] and row["dice_equal"] for row in rows)
    something = sum(bool(row["nnunet"]) for row in rows)
    atomic_write_json(options.output / "components.json", {"equal": equal, "cases": rows})
    print(f"{equal} of {len(rows)} decisions equal, {something} of them to keep the largest alone")


if __name__ == "__main__":
    main()
