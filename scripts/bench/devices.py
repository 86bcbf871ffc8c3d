"""Whether a step on two devices is a step on one: weights after some steps, side by side.

    python scripts/bench/devices.py [--small] [--more] [--steps 20] [--output docs/results]

A small U-Net trains on the same batches on one device, and on two that share each batch
(`tf.distribute.MirroredStrategy` over two virtual CPUs), from the same initial weights: as whole
images do, as patches by a plan do (deep supervision, batch Dice, clipped gradients, ignored
voxels), and as two peers that choose voxels; in float32, bfloat16 and float16 with loss scaling,
and with moving averages of weights. `--small` takes fewer of these and writes nothing; `--more`
takes those that the page lacks. Exit 1 where weights, ν among them, differ by more than the
tolerance.
"""

import argparse
import json
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# Of a weight, after 20 steps: roundings in another order, which each step hands on to the next.
TOLERANCES = {"float32": 1e-5, "mixed_bfloat16": 6e-3, "mixed_float16": 2e-3}
# Of peers: where a rounding changes which voxel is trusted least, another one is left out.
OF_PEERS = {"float32": 2e-5, "mixed_bfloat16": 2e-2, "mixed_float16": 1e-2}
ALONE = ("whole images", "patches")
KINDS = (*ALONE, "cot", "cot+", "stocot")
OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "averaged": {"use_ema": True, "ema_momentum": 0.9},
}
SMALL = [("patches", "float32", ""), ("whole images", "mixed_float16", "")]
IGNORED = 9
# Instance norm takes off the bias of the convolution before it, whose gradient is therefore 0 but
# for rounding, which Adam makes as large as any other.
WITHOUT_EFFECT = re.compile(r"conv[23]d(_\d+)?/bias")


def model_of(kind: str, precision: str, options: dict[str, Any]):
    """A compiled model with its initial weights, the same at each call."""
    import keras

    from keras_robust import losses
    from keras_robust.models import CoTeaching, UNet, get_selection, supervision_weights
    from keras_robust.training.build import dtype_policy
    from keras_robust.training.config import PlanConfig
    from keras_robust.training.patches.optimizer import make_optimizer

    keras.utils.set_random_seed(0)
    patches = kind == "patches"

    def network():
        return UNet((32, 32, 1), features=2, strides=[(2, 2)] * 3, deep_supervision=patches)

    loss: Any = losses.get("t+dice", ignore_label=IGNORED)
    optimizer: Any = keras.optimizers.SGD(0.01, momentum=0.9, **options)
    with dtype_policy(precision):
        if kind in ALONE:
            model = network()
        else:
            ramps = {"cot": "ramp_epochs", "cot+": "ramp_epochs warmup", "stocot": "ramp warmup"}
            model = CoTeaching(
                network, get_selection(kind, **dict.fromkeys(ramps[kind].split(), 0))
            )
    weights = None
    if patches:
        outputs = len(model.outputs)
        loss = [
            losses.get("t", ignore_label=IGNORED) + losses.Dice(batch=True, ignore_label=IGNORED)
            for _ in range(outputs)
        ]
        weights = supervision_weights(outputs)
        optimizer = make_optimizer(PlanConfig(folder="", momentum=0.9, clip_norm=0.1))
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, loss, loss_weights=weights, jit_compile=False)
    return model


def trained(
    kind: str, precision: str, options: dict[str, Any], steps: int, scope
) -> dict[str, Any]:
    """Weights and losses by name."""
    import numpy as np
    import tensorflow as tf

    generator = np.random.default_rng(0)
    images = generator.normal(size=(4, 8, 32, 32, 1)).astype(np.float32)
    labels = (images > 0.3).astype(np.uint8)
    labels[:, :3, :8] = IGNORED  # of the first device's images alone
    with scope:
        model = model_of(kind, precision, options)
    targets = [labels, labels[:, :, ::2, ::2]][: len(model.output_names)]
    data = tf.data.Dataset.from_tensor_slices((images, tuple(targets) if targets[1:] else labels))
    model.fit(data.repeat(), epochs=1, steps_per_epoch=steps, verbose=0, shuffle=False)
    return {v.path: np.asarray(v.value) for v in model.trainable_variables}


def compare(kind: str, precision: str, option: str, steps: int, strategy: Any) -> dict[str, Any]:
    import numpy as np

    scopes = nullcontext(), strategy.scope()
    one, two = (trained(kind, precision, OPTIONS[option], steps, scope) for scope in scopes)
    differences = {
        path: float(np.abs(a - b).max())
        for (path, a), b in zip(one.items(), two.values(), strict=True)
        if not WITHOUT_EFFECT.search(path)
    }
    return {
        "trained": kind,
        "precision": precision,
        "option": option,
        "difference": max(differences.values()),
        "of_nu": max(d for path, d in differences.items() if "nu_tilde" in path),
        "tolerance": (TOLERANCES if kind in ALONE else OF_PEERS)[precision],
    }


def page(report: dict[str, Any]) -> list[str]:
    return [
        "# Two devices and one",
        "",
        f"The largest difference of a weight, and of ν, after {report['steps']} steps of a small "
        "U-Net on two devices that share each batch and on one, TensorFlow, virtual CPUs. Left out "
        "are biases before an instance norm, which takes them off: their gradients are rounding.",
        "",
        "| training | precision | | weights | ν | at most |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r['trained']} | {r['precision']} | {r['option']} | {r['difference']:.1e} | "
            f"{r['of_nu']:.1e} | {r['tolerance']:.0e} |"
            for r in report["rows"]
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--more", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    import tensorflow as tf
    from result_page import environment, write_results

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices)  # TensorFlow confuses those of two
    every = [(kind, precision, "") for kind in KINDS for precision in TOLERANCES]
    every += [("whole images", precision, "averaged") for precision in TOLERANCES]
    rows = []
    stored = arguments.output / "bench_devices.json"
    if arguments.more and stored.is_file():
        rows = json.loads(stored.read_text())["rows"]
    known = {(row["trained"], row["precision"], row["option"]) for row in rows}
    for case in SMALL if arguments.small else (case for case in every if case not in known):
        row = compare(*case, arguments.steps, strategy)
        figures = (f"{value:.1e}" if isinstance(value, float) else value for value in row.values())
        print(*figures, sep=", ", flush=True)
        rows.append(row)
        if not arguments.small:  # after each, since all take a while
            report = {
                **environment(["tensorflow", "keras"]),
                "steps": arguments.steps,
                "rows": rows,
            }
            write_results(arguments.output, "devices", report, page(report))
    sys.exit(any(row["difference"] > row["tolerance"] for row in rows))


if __name__ == "__main__":
    main()
