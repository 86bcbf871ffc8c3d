"""Peak memory of the streaming input for small and large datasets.

    python scripts/bench/input_memory.py            # writes docs/results/input_memory.json

Makes folders of 2,000 and 20,000 images of 256 x 256 pixels (hard links to the packaged ones where
the file system has them), and passes once over each in a process of its own.
"""

import argparse
import csv
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (2_000, 20_000)


def make_dataset(folder: Path, count: int) -> None:
    """A manifest folder of `count` cases; each has files of its own names."""
    from keras_robust.data import sample

    cases = list(sample())
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    with open(folder / "manifest.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "mask", "annotator", "split"])
        for number in range(count):
            case = cases[number % len(cases)]
            image = f"images/{number:06d}{case.image.suffix}"
            mask = f"masks/{number:06d}{case.mask.suffix}"
            link(case.image, folder / image)
            link(case.mask, folder / mask)
            writer.writerow([f"{number:06d}", image, mask, "expert", "train"])


def link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def measure(folder: Path, steps: int) -> dict[str, float]:
    """Peak resident memory of this process, in MiB, after `steps` batches."""
    from keras_robust.data import Dataset
    from keras_robust.training.source import DiskSource
    from keras_robust.training.whole_images.stream import training_stream

    dataset = Dataset.open(folder)
    stream = training_stream(DiskSource(dataset, (256, 256)), batch_size=16, seed=0)
    begin = time.monotonic()
    for _ in stream.take(steps):
        pass
    return {
        "images": len(dataset),
        "batches": steps,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "images_per_second": round(steps * 16 / (time.monotonic() - begin), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs/results/input_memory.json"))
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.steps)))
        return
    results = []
    with tempfile.TemporaryDirectory() as root:
        for count in SIZES:
            folder = Path(root) / str(count)
            make_dataset(folder, count)
            command = [sys.executable, __file__, "--measure", str(folder), "--steps"]
            done = subprocess.run([*command, str(count // 16)], stdout=subprocess.PIPE, check=True)
            results.append(json.loads(done.stdout))
            print(results[-1])
    growth = results[-1]["peak_mib"] / results[0]["peak_mib"] - 1
    report = {
        "what": "peak resident memory of one pass of the streaming input, batches of 16 at 256x256",
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "results": results,
        "growth": round(growth, 4),
        "within_10_percent": growth < 0.1,
    }
    options.output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"Growth: {growth:.1%}. Written: {options.output}")


if __name__ == "__main__":
    main()
