"""Repeat the Robust T-Loss study (MICCAI 2023) on real images, within the budget of two CPU cores.

    python scripts/reproduce_tloss.py isic data/isic2018_task1_128 [--jobs 2]
    python scripts/reproduce_tloss.py shenzhen data/shenzhen_cxr_256
    python scripts/reproduce_tloss.py isic data/isic2018_task1 --backend jax --size 256 --jobs 1

The same command continues an interrupted study; finished runs are skipped. Run folders, the table,
the tests and the figures go to `docs/results/tloss/`. The paper trains on 2,000 images of 256² for
100 epochs on a GPU. Here images are few, so that 100 epochs memorise them within minutes:

* `isic`: 120 training images at 64², the nine losses of the paper's table 1, CE+Dice, and T-Loss
  with `event="voxel"`, at α = 0 and at α = β = .7, three seeds;
* `shenzhen`: 120 training images at 64², four losses, the same settings;
* `search`: further losses and sums of losses at α = β = .7 on `isic`, to find the best one on
  validation images (`scripts/best_loss.py`);
* `confirm`: the best one of these at α = β = .7 on `shenzhen`;
* `starts`: T-Loss from further initial ν̃ at α = β = .7, for the figure of its sensitivity.

With `--size` a study is as in the paper instead, for a GPU: all images, a U-Net of 64 to 1,024
features, batches of 16.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from keras_robust.scheduling import BenchmarkConfig, run_benchmark
from keras_robust.scheduling.live import StudyView
from keras_robust.studies import write_report

PAPER = ["gce", "mae", "rce", "sce", "ngce", "nce+rce", "ngce+mae", "ngce+rce", "t"]
VOXEL = {"name": "t", "options": {"event": "voxel"}, "label": "T-Loss (voxel)"}
VOXEL_DICE = {"name": "t+dice", "options": {"event": "voxel"}, "label": "T-Loss (voxel)+Dice"}
CLEAN_AND_NOISY = [(0.7, 0.7), (0.0, 0.7)]
STUDIES = {
    "isic": {"losses": ["t", "ce+dice", VOXEL, *PAPER[:-1]], "noise": CLEAN_AND_NOISY},
    "shenzhen": {"losses": ["t", "ce+dice", "gce", "ngce+rce"], "noise": CLEAN_AND_NOISY},
    "search": {
        "losses": ["dice", "t+dice", VOXEL_DICE, "mae+dice", "apl1", "apl2", "sce+dice"],
        "noise": CLEAN_AND_NOISY[:1],
    },
    "confirm": {"losses": ["mae+dice"], "noise": CLEAN_AND_NOISY[:1]},
    "starts": {"losses": ["t"], "noise": CLEAN_AND_NOISY[:1], "nu_tilde": [-4.0, 4.0]},
}


def study(name: str, data: Path, size: int | None = None) -> BenchmarkConfig:
    """The study `name` on the dataset folder `data`; of a size as in the paper."""
    base: dict[str, Any] = {
        "data": {
            "path": str(data),
            "size": (64, 64),
            "train_limit": 120,
            "test_limit": 300,
            "cache": "memory",
        },
        "model": {"features": 8, "max_features": 128},
        "epochs": 100,
        "batch_size": 8,
        "evaluate_every": 5,
        "evaluate_last": 10,
        # Only the convolutions run in bfloat16; weights, ν, loss and Dice are float32.
        "precision": "mixed_bfloat16",
        "tensorboard": False,
    }
    if size is not None:
        base |= {
            "data": {"path": str(data), "size": (size, size), "cache": "memory"},
            "model": {"features": 64, "max_features": 1024, "depth": 4},
            "batch_size": 16,
        }
    return BenchmarkConfig(base=base, seeds=[0, 1, 2], **STUDIES[name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("data", type=Path, help="dataset folder")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--output", type=Path, default=Path("docs/results/tloss"))
    parser.add_argument("--size", type=int, help="of all images, with the paper's network")
    parser.add_argument("--backend", choices=["tensorflow", "jax", "torch"], help="of the runs")
    arguments = parser.parse_args()
    if arguments.backend is not None:
        os.environ["KERAS_BACKEND"] = arguments.backend  # of the processes of the runs
    name = arguments.study if arguments.size is None else f"{arguments.study}-{arguments.size}"
    folder = arguments.output / "runs" / name
    config = study(arguments.study, arguments.data, arguments.size)
    threads = 1 if arguments.size is None else None
    with StudyView() as view:
        run_benchmark(config, folder, jobs=arguments.jobs, threads=threads, progress=view)
    title = f"Losses under label noise: {arguments.study}"
    print(write_report([folder], arguments.output / name, title))


if __name__ == "__main__":
    main()
