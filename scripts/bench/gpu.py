"""Training on a GPU with JAX, against plain PyTorch: images or patches per second, memory, input.

    KERAS_BACKEND=jax python scripts/bench/gpu.py --output bench_gpu.json [--torch-python PYTHON]
    KERAS_BACKEND=jax python scripts/bench/gpu.py --smoke

The paper's 2-D U-Net at 256² and a planned network at 128³ train in bfloat16 on one batch that
stays on the device; `torch_unet.py` trains the same network (layers, parameters, batch, optimiser,
loss), channels last and compiled, where the interpreter has PyTorch. Input is what threads of this
machine prepare: the share is the time of a batch of theirs over that of a step, above 1 where the
device waits. Each network runs in a process of its own, for its peak of memory. `--smoke` is a size
for CPU, compiled in a hurry, whose figures say nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

SHARED = {"channels": 1, "classes": 2, "precision": "mixed_bfloat16", "threads": 1}
NETWORKS: dict[str, dict[str, Any]] = {
    "2-D 256²": {"patch": [256, 256], "batch": 16, "widths": [64, 128, 256, 512, 1024]},
    "3-D 128³": {"patch": [128, 128, 128], "batch": 2, "widths": [32, 64, 128, 256, 320, 320]},
}
SMOKE = {
    "2-D 256²": {"patch": [32, 32], "batch": 2, "widths": [4, 8]},
    "3-D 128³": {"patch": [16, 16, 16], "batch": 2, "widths": [4, 8]},
}
SECONDS = 20.0  # of steps that are timed
LIMIT = 200.0  # of one process, all included


def ours(options: dict[str, Any]) -> dict[str, Any]:
    """Rate, input and memory of the training step of this project."""
    import jax
    import keras
    import numpy as np
    from training import network

    from keras_robust import losses
    from keras_robust.training.build import dtype_policy
    from keras_robust.training.config import PlanConfig
    from keras_robust.training.patches.optimizer import make_optimizer

    keras.utils.set_random_seed(0)
    with dtype_policy(options["precision"]):
        model = network(options)
    model.compile(make_optimizer(PlanConfig(folder="")), losses.get("ce+dice"))
    generator = np.random.default_rng(0)
    shape = (options["batch"], *options["patch"], 1)
    batch = (
        jax.device_put(generator.normal(size=shape).astype(np.float32)),
        jax.device_put(generator.integers(0, options["classes"], shape).astype(np.uint8)),
    )

    def same() -> Iterator[Any]:
        while True:
            yield batch

    batches = same()

    def steps(number: int) -> float:
        start = time.perf_counter()
        model.fit(batches, steps_per_epoch=number, shuffle=False, verbose=0)
        return time.perf_counter() - start

    compiling = steps(2)
    step = repeated(steps, options["seconds"])
    stats = jax.devices()[0].memory_stats() or {}
    return {
        "device": jax.devices()[0].device_kind,
        "parameters": model.count_params(),
        "seconds_to_compile": compiling,
        "per_second": options["batch"] / step,
        "peak_bytes": stats.get("peak_bytes_in_use"),
        "input_share": repeated(input_of(options), options["seconds"]) / step,
        "cores": os.cpu_count(),
        "versions": {"jax": jax.__version__, "keras": keras.__version__},
    }


def in_a_process(options: dict[str, Any]) -> dict[str, Any]:
    """The same, of a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT)
    if done.returncode:
        raise SystemExit(f"The process of {options['patch']} ended with {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def input_of(options: dict[str, Any]) -> Callable[[int], float]:
    """Seconds of so many batches as a run prepares them, of arrays in memory."""
    import numpy as np

    from keras_robust.training.feeding import ahead
    from keras_robust.training.patches.augmentation import augment, sample
    from keras_robust.training.source import MemorySource
    from keras_robust.training.whole_images.batches import numpy_batches

    size, batch = tuple(options["patch"]), options["batch"]
    generator = np.random.default_rng(0)
    if len(size) == 2:
        images = generator.integers(0, 256, (4 * batch, *size, 1), dtype=np.uint8)
        source = MemorySource(tuple(map(str, range(len(images)))), images, images[..., 0] // 128)
        made: Iterator[Any] = numpy_batches(source, batch, seed=0)
        per_batch = 1
    else:
        volume = generator.normal(size=(*(n + 16 for n in size), 1)).astype(np.float32)
        labels = (volume[..., 0] > 0).astype(np.uint8)

        def patch(number: int) -> Any:
            own = np.random.default_rng(number)
            taken = sample(volume, labels, [8] * len(size), size, own)
            return augment(*taken, own, tuple(range(len(size))), (False,))

        made, per_batch = ahead(patch, count()), batch

    def batches(number: int) -> float:
        start = time.perf_counter()
        list(islice(made, number * per_batch))
        return time.perf_counter() - start

    batches((os.cpu_count() or 1) + 4)  # what threads have prepared ahead
    return batches


def repeated(seconds_of: Callable[[int], float], limit: float) -> float:
    """Seconds of one, by as many as fit a limit, 500 at most."""
    once = seconds_of(3) / 3
    number = min(500, max(3, int(limit / once)))
    return seconds_of(number) / number


def torch(python: str, options: dict[str, Any]) -> dict[str, Any] | None:
    """Rate and memory of plain PyTorch, by the process of `torch_unet.py`."""
    given = {**options, "channels_last": True, "compile": True, "device": "best", "steps": 1}
    command = [python, str(Path(__file__).with_name("torch_unet.py")), json.dumps(given)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        if one.stdin is None or one.stdout is None:
            raise RuntimeError("Expected pipes to the process. Received: none")
        first = one.stdout.readline()
        if not first:
            return None
        facts = json.loads(first)
        pipe_in, pipe_out = one.stdin, one.stdout

        def steps(number: int) -> float:
            total = 0.0
            for _ in range(number):
                print(file=pipe_in, flush=True)
                total += float(pipe_out.readline())
            return total

        step = repeated(steps, options["seconds"])
        pipe_in.close()
        peak = pipe_out.readline().strip()
    return {**facts, "per_second": options["batch"] / step, "peak_bytes": int(peak or 0) or None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, help="JSON file; standard output without")
    parser.add_argument("--torch-python", help="an interpreter that has PyTorch")
    parser.add_argument("--smoke", action="store_true", help="a size for CPU, in seconds")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(ours(json.loads(given.child))))
        return
    if given.smoke:
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
    report: dict[str, Any] = {}
    for name, settings in (SMOKE if given.smoke else NETWORKS).items():
        options = {**SHARED, **settings, "seconds": 0.0 if given.smoke else SECONDS}
        found = ours(options) if given.smoke else in_a_process(options)
        row = {"batch": options["batch"], "ours": found}
        if given.torch_python and (peer := torch(given.torch_python, options)):
            if peer["parameters"] != row["ours"]["parameters"]:
                raise SystemExit(f"{name}: the networks differ: {row['ours']}, {peer}")
            row |= {"torch": peer, "ratio": row["ours"]["per_second"] / peer["per_second"]}
        report[name] = row
        if given.output:  # after each, so that a lease that ends leaves what there is
            given.output.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
