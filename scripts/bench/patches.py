"""Input of planned training, and preprocessing: rates, and peak memory.

    python scripts/bench/patches.py [--steps 40] [--rounds 5] [--output docs/results]

Input: patches are drawn from volumes of their own size on disk, augmented as nnU-Net does, and fed
to a small 3-D U-Net. The share of the input in a step is what the stream's own processor time for a
batch is of all that a step takes, so that what else the machine does does not count; beside it, how
much longer a step takes with the stream than on one batch that is there, the two taking turns.

Preprocessing: volumes of thick slices with two classes are planned and preprocessed in a process of
their own, whose peak memory beyond its libraries is given per case.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PATCH, BATCH, FEATURES, CASES = (64, 64, 64), 2, 16, 4
DRAWN = 100  # patches that the rate of the input is taken over
INPUT_LIMIT = 0.10
VOLUME, SPACING, VOLUMES = (40, 320, 320), (3.0, 0.8, 0.8), 12


def make_volumes(folder: Path, shape: tuple[int, ...], spacing: tuple[float, ...], count: int):
    """A data set of noise with two boxes."""
    import nibabel
    import numpy as np

    generator = np.random.default_rng(0)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    labels = np.zeros(shape, np.uint8)
    labels[tuple(slice(n // 4, n // 2) for n in shape)] = 1
    labels[tuple(slice(n // 2, 3 * n // 4) for n in shape)] = 2
    for number in range(count):
        image = generator.normal(100 + 50 * labels, 30).astype(np.int16)
        for name, array in ((f"imagesTr/c{number}_0000", image), (f"labelsTr/c{number}", labels)):
            file = nibabel.Nifti1Image(array, np.diag([*spacing, 1]))
            file.to_filename(folder / f"{name}.nii.gz")
    meta = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "a": 1, "b": 2},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(meta))


def plan_of(folder: Path):
    from keras_robust.data import Dataset
    from keras_robust.planning import make_plan
    from keras_robust.planning.fingerprint import fingerprint

    dataset = Dataset.open(folder)
    found = fingerprint(dataset, workers=1)
    return dataset, found, make_plan(found)


def input_share(steps: int, rounds: int, threads: int) -> dict[str, Any]:
    """Milliseconds of a step with and without the input, and of the input itself."""
    import tensorflow as tf

    from keras_robust.planning.preprocessing import preprocess
    from keras_robust.training.config import PlanConfig, TrainConfig
    from keras_robust.training.patches.network import build_planned, compile_planned, output_strides
    from keras_robust.training.patches.patches import Patches
    from keras_robust.training.patches.recipe import planned
    from keras_robust.training.patches.stream import patch_stream

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_volumes(folder / "data", tuple(n + 16 for n in PATCH), (1, 1, 1), CASES)
        dataset, found, plan = plan_of(folder / "data")
        options = PlanConfig(
            folder=folder, patch_size=PATCH, batch_size=BATCH, features=FEATURES, mirror_axes=None
        )
        config = TrainConfig(data={"path": folder}, loss="ce+dice", plan=options)
        plan = planned(plan, options)
        cases = preprocess(dataset, plan, found, folder / "cases")
        patches = Patches(cases, plan, 10**6, seed=0, mirror_axes=(0, 1, 2))
        model = build_planned(config, plan, 3)
        compile_planned(model, config, plan)
        stream = patch_stream(patches, 0, output_strides(model, plan), threads)
        # Of the patches alone, one after the other.
        start = time.process_time()
        for number in range(DRAWN):
            patches(0, number)
        drawing = BATCH * (time.process_time() - start) / DRAWN

        one = tf.data.Dataset.from_tensors(next(iter(stream))).repeat()
        sources = {"with": iter(stream), "without": iter(one)}
        seconds: dict[str, list[float]] = {name: [] for name in sources}
        elapsed: dict[str, list[float]] = {name: [] for name in sources}
        each = max(1, steps // rounds)
        model.make_train_function()
        for round_number in range(rounds + 1):
            for name, batches in sources.items():
                start, began = time.process_time(), time.perf_counter()
                for _ in range(each):
                    model.train_function(batches)
                if round_number:
                    seconds[name].append((time.process_time() - start) / each)
                    elapsed[name].append((time.perf_counter() - began) / each)
    step = {name: statistics.median(values) for name, values in seconds.items()}
    longer = [a / b - 1 for a, b in zip(elapsed["with"], elapsed["without"], strict=True)]
    return {
        "patch": PATCH,
        "batch": BATCH,
        "features": FEATURES,
        "threads": threads,
        "milliseconds_of_input": 1000 * drawing,
        "milliseconds_without_input": 1000 * step["without"],
        "milliseconds_with_input": 1000 * step["with"],
        "patches_per_second_and_core": BATCH / drawing,
        "share": drawing / (step["without"] + drawing),
        "elapsed_milliseconds": {n: 1000 * statistics.median(v) for n, v in elapsed.items()},
        "elapsed_longer": statistics.median(longer),
        "limit": INPUT_LIMIT,
    }


def preprocessing(workers: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--preprocess", str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_preprocessing(workers: int) -> None:
    from result_page import peak_bytes

    from keras_robust.planning.preprocessing import preprocess

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_volumes(folder / "data", VOLUME, SPACING, VOLUMES)
        dataset, found, plan = plan_of(folder / "data")
        start = time.perf_counter()
        preprocess(dataset, plan, found, folder / "cases", workers=workers)
        seconds = time.perf_counter() - start
        stored = sum(file.stat().st_size for file in (folder / "cases").rglob("*.b2nd"))
    voxels = VOLUMES * VOLUME[0] * VOLUME[1] * VOLUME[2]
    # Workers are the only children of this process.
    of_workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    peak = peak_bytes() if workers == 1 else of_workers
    print(
        json.dumps(
            {
                "workers": workers,
                "cases": VOLUMES,
                "voxels_of_a_case": voxels // VOLUMES,
                "seconds": seconds,
                "megavoxels_per_second": voxels / seconds / 1e6,
                "peak_mib_of_a_process": peak / 2**20,
                "stored_mib": stored / 2**20,
            }
        )
    )


def page(report: dict[str, Any]) -> list[str]:
    found = report["input"]
    size = "×".join(map(str, found["patch"]))
    case = "×".join(map(str, VOLUME))
    return [
        "# Input and preprocessing of planned training",
        "",
        "## Input",
        "",
        f"Patches of {size}, batch {found['batch']}, drawn, read from disk and augmented as "
        f"nnU-Net does, for a U-Net with {found['features']} features in its first stage and deep "
        f"supervision, float32, {found['threads']} threads.",
        "",
        "| | |",
        "|---|---|",
        f"| processor time of the input for a step | {found['milliseconds_of_input']:.0f} ms |",
        f"| patches per second and core | {found['patches_per_second_and_core']:.0f} |",
        "| processor time of a step on a batch that is there | "
        f"{found['milliseconds_without_input']:.0f} ms |",
        f"| processor time of a step with the input | {found['milliseconds_with_input']:.0f} ms |",
        f"| share of the input in the processor time of a step | {found['share']:.1%} "
        f"(at most {found['limit']:.0%}) |",
        "| elapsed time of a step, on a batch that is there and with the input | "
        f"{found['elapsed_milliseconds']['without']:.0f} and "
        f"{found['elapsed_milliseconds']['with']:.0f} ms |",
        f"| longer with the input, median of turns | {found['elapsed_longer']:+.1%} |",
        "",
        "## Preprocessing",
        "",
        f"{VOLUMES} volumes of {case} voxels of "
        f"{' × '.join(map(str, SPACING))} mm, two classes: cropped, normalised, resampled, "
        "compressed.",
        "",
        "| workers | time | voxels per second | peak memory of a process | stored |",
        "|---|---|---|---|---|",
        *(
            f"| {r['workers']} | {r['seconds']:.1f} s | {r['megavoxels_per_second']:.2f} million | "
            f"{r['peak_mib_of_a_process']:.0f} MiB | {r['stored_mib']:.0f} MiB |"
            for r in report["preprocessing"]
        ),
        "",
        "The peak holds the libraries; a case in float32 is "
        f"{4 * VOLUME[0] * VOLUME[1] * VOLUME[2] / 2**20:.0f} MiB.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--preprocess", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.preprocess:
        print_preprocessing(arguments.preprocess)
        return
    from result_page import environment, write_results

    report = {
        **environment(["tensorflow", "keras", "numpy", "scipy", "blosc2"]),
        "input": input_share(arguments.steps, arguments.rounds, arguments.threads),
        "preprocessing": [preprocessing(workers) for workers in (1, 2)],
    }
    print(write_results(arguments.output, "patches", report, page(report)))


if __name__ == "__main__":
    main()
