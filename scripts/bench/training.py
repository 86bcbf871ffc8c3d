"""Speed of training: against plain PyTorch, and of each robust method against CE + Dice.

    python scripts/bench/training.py --torch-python PYTHON [--rounds 10] [--output docs/results]

The same network (layers, parameters, batch, precision, optimiser, loss) trains on random patches in
two processes, one with keras-robust and one with plain PyTorch (`torch_unet.py`, in its default and
in its channels-last layout; the faster one counts). They take turns, and a figure is the median
over the rounds of the processor's time, with one thread, so that other work of the machine counts
little. PYTHON is an interpreter that has PyTorch; without it that part is left out. The methods
take turns in one process; their memory is that of a process each.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NETWORKS: dict[str, dict[str, Any]] = {
    "2-D 128²": {"patch": [128, 128], "batch": 8, "widths": [16, 32, 64, 128, 256], "steps": 2},
    "2-D 256²": {"patch": [256, 256], "batch": 4, "widths": [16, 32, 64, 128, 256], "steps": 1},
    "2-D 256², narrow": {"patch": [256, 256], "batch": 8, "widths": [8, 16, 32, 64], "steps": 1},
    "3-D 64³": {"patch": [64, 64, 64], "batch": 2, "widths": [16, 32, 64, 128], "steps": 1},
}
SHARED = {"channels": 1, "classes": 3}
PRECISIONS = ("float32", "mixed_bfloat16")
TORCH_LIMIT = 1.0
# The most that a method may take, as a multiple of CE + Dice.
ONE, TWO = 1.05, 2.1
METHODS = {
    **dict.fromkeys(["apl1", "apl2", "svls", "t", "t+dice"], ONE),
    **dict.fromkeys(["cot", "cot+", "stocot", "hrl"], TWO),
}
BASELINE = "ce+dice"
METHOD_NETWORK = "3-D 64³"


class Child:
    """A process that trains when told to."""

    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.facts = json.loads(self._line())

    def seconds(self) -> float:
        """Of some steps."""
        connected(self.process.stdin).write("\n")
        connected(self.process.stdin).flush()
        return float(self._line())

    def close(self) -> None:
        connected(self.process.stdin).close()
        self.process.wait()

    def _line(self) -> str:
        line = connected(self.process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")
        return line


def connected(pipe):
    if pipe is None:
        raise RuntimeError("Expected a pipe to the process. Received: none")
    return pipe


def network(options: dict[str, Any]):
    """The network of `torch_unet.UNet`."""
    from keras_robust.models import UNet

    rank = len(options["patch"])
    return UNet(
        (*options["patch"], options["channels"]),
        classes=options["classes"],
        features=options["widths"][0],
        max_features=options["widths"][-1],
        strides=[(2,) * rank] * (len(options["widths"]) - 1),
    )


def compiled(options: dict[str, Any], method: str = BASELINE):
    """A model of a method, and a function that trains it for a step."""
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_robust.models import robust_method
    from keras_robust.training.build import dtype_policy
    from keras_robust.training.config import PlanConfig
    from keras_robust.training.patches.optimizer import make_optimizer

    keras.utils.set_random_seed(0)
    with dtype_policy(options["precision"]):
        chosen = robust_method(method)
        model = chosen.model(lambda: network(options))
    model.compile(make_optimizer(PlanConfig(folder="")), chosen.loss, jit_compile=False)
    generator = np.random.default_rng(0)
    shape = (options["batch"], *options["patch"], options["channels"])
    images = tf.constant(generator.normal(size=shape).astype(np.float32))
    labels = tf.constant(generator.integers(0, options["classes"], shape).astype(np.uint8))
    batches = iter(tf.data.Dataset.from_tensors((images, labels)).repeat())
    model.make_train_function()

    def step() -> None:
        float(tf.convert_to_tensor(model.train_function(batches)["loss"]))

    return model, step


def child(options: dict[str, Any]) -> None:
    """What `torch_unet.py` does, with keras-robust."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
    model, step = compiled(options)
    for _ in range(2):
        step()
    print(json.dumps({"parameters": int(model.count_params())}), flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        for _ in range(options["steps"]):
            step()
        print(time.process_time() - start, flush=True)


def against_torch(python: str, rounds: int, threads: int) -> list[dict[str, Any]]:
    """Patches per second of every network in every precision."""
    here = Path(__file__).parent
    rows = []
    for name, settings in NETWORKS.items():
        for precision in PRECISIONS:
            options = {**SHARED, **settings, "precision": precision, "threads": threads}
            commands = {"keras-robust": [sys.executable, __file__, "--child", json.dumps(options)]}
            for layout in (False, True):
                given = json.dumps({**options, "channels_last": layout})
                label = "channels last" if layout else "default layout"
                commands[label] = [python, str(here / "torch_unet.py"), given]
            children = {label: Child(command) for label, command in commands.items()}
            seconds: dict[str, list[float]] = {label: [] for label in children}
            for _ in range(rounds):
                for label, process in children.items():
                    seconds[label].append(process.seconds())
            for process in children.values():
                process.close()
            if len({process.facts["parameters"] for process in children.values()}) > 1:
                raise RuntimeError(
                    "The networks differ: "
                    + ", ".join(str(process.facts) for process in children.values())
                )
            patches = options["batch"] * options["steps"]
            rates = {label: patches / statistics.median(s) for label, s in seconds.items()}
            fastest = max(value for label, value in rates.items() if label != "keras-robust")
            rows.append(
                {
                    "network": name,
                    "precision": precision,
                    "batch": options["batch"],
                    "features": options["widths"],
                    "parameters": children["keras-robust"].facts["parameters"],
                    "patches_per_second": rates,
                    "ratio": rates["keras-robust"] / fastest,
                    "limit": TORCH_LIMIT,
                    "torch": children["default layout"].facts["version"],
                }
            )
    return rows


def of_methods(rounds: int, threads: int) -> list[dict[str, Any]]:
    """Time and memory of a step of every method."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    options = {**SHARED, **NETWORKS[METHOD_NETWORK], "precision": "float32"}
    steps = {method: compiled(options, method)[1] for method in (BASELINE, *METHODS)}
    seconds: dict[str, list[float]] = {method: [] for method in steps}
    for number in range(rounds + 2):
        for method, step in steps.items():
            start = time.process_time()
            step()
            if number >= 2:
                seconds[method].append(time.process_time() - start)
    peaks = {method: peak_bytes(method) for method in steps}
    middle = {method: statistics.median(values) for method, values in seconds.items()}
    return [
        {
            "method": method,
            "milliseconds": 1000 * middle[method],
            # Of the two steps of one round, so that what slows both does not count.
            "time_ratio": statistics.median(
                a / b for a, b in zip(seconds[method], seconds[BASELINE], strict=True)
            ),
            "time_limit": METHODS.get(method, 1.0),
            "peak_mib": peaks[method] / 2**20,
            "memory_ratio": peaks[method] / peaks[BASELINE],
        }
        for method in steps
    ]


def peak_bytes(method: str) -> int:
    """Most memory of a process that trains, beyond what it held before the model was built."""
    command = [sys.executable, __file__, "--peak", method]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def print_peak(method: str) -> None:
    import result_page
    import tensorflow as tf

    tf.zeros(1)
    before = result_page.peak_bytes()
    options = {**SHARED, **NETWORKS[METHOD_NETWORK], "precision": "float32"}
    _, step = compiled(options, method)
    for _ in range(3):
        step()
    print(result_page.peak_bytes() - before)


def page(report: dict[str, Any]) -> list[str]:
    lines = ["# Speed of training", ""]
    if report["torch"]:
        lines += [
            "## Against plain PyTorch",
            "",
            "Patches per second of the same U-Net (two convolutions per stage, instance norm, "
            "LeakyReLU, strided and transposed convolutions), CE + Dice, SGD with clipping. The "
            "processes take turns; medians over the rounds of the processor's time, with one "
            "thread. PyTorch counts in the faster of its two layouts.",
            "",
            "| network | batch | parameters | precision | keras-robust | PyTorch "
            f"{report['torch'][0]['torch']} | channels last | ratio | at least |",
            "|---|---|---|---|---|---|---|---|---|",
            *(
                f"| {r['network']} | {r['batch']} | {r['parameters']:,} | {r['precision']} | "
                + " | ".join(f"{value:.2f}" for value in r["patches_per_second"].values())
                + f" | {r['ratio']:.2f} | {r['limit']} |"
                for r in report["torch"]
            ),
            "",
        ]
    return [
        *lines,
        "## Robust methods against CE + Dice",
        "",
        f"A training step of {METHOD_NETWORK}, batch {NETWORKS[METHOD_NETWORK]['batch']}, float32: "
        "median time, and the most memory that the process takes beyond its libraries. `cot`, "
        "`cot+`, `stocot` and `hrl` train two networks.",
        "",
        "| method | time | ratio | at most | peak memory | ratio |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r['method']} | {r['milliseconds']:.0f} ms | {r['time_ratio']:.2f} | "
            f"{r['time_limit']} | {r['peak_mib']:.0f} MiB | {r['memory_ratio']:.2f} |"
            for r in report["methods"]
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--torch-python", help="Interpreter that has PyTorch.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(json.loads(arguments.child))
        return
    if arguments.peak:
        print_peak(arguments.peak)
        return
    from result_page import environment, write_results

    python = arguments.torch_python
    report = {
        **environment(["tensorflow", "keras", "numpy"]),
        "threads": arguments.threads,
        "torch": against_torch(python, arguments.rounds, arguments.threads) if python else [],
        "methods": of_methods(arguments.rounds, arguments.threads),
    }
    print(write_results(arguments.output, "training", report, page(report)))


if __name__ == "__main__":
    main()
