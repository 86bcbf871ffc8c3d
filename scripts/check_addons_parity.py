"""Measure the migration guide against tensorflow-addons 0.23.0 itself.

Builds a separate environment (Python 3.11, TensorFlow 2.15, tensorflow-addons 0.23.0; needs uv),
computes every row of the guide there and with Keras 3 here, on the same inputs, and writes the
differences to docs/results/addons_parity.json and .md. Exits with 1 where a row disagrees.

usage: python scripts/check_addons_parity.py [--environment FOLDER] [--output FOLDER]
"""

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from addons_parity import recipes

HERE = Path(__file__).resolve().parent
# The full wheel: the custom operations of tensorflow-addons need its CUDA symbols, even on a CPU.
REQUIREMENTS = ("tensorflow==2.15.1", "tensorflow-addons==0.23.0", "numpy<2")

# row: (tensorflow-addons, its place today, largest accepted difference relative to the largest
# value, what to know)
ROWS = {
    "instance_normalization": (
        "layers.InstanceNormalization()",
        "keras.layers.GroupNormalization(groups=-1)",
        1e-5,
        "same ε = 1e-3; in both the weights are γ then β",
    ),
    "group_normalization": (
        "layers.GroupNormalization(3)",
        "keras.layers.GroupNormalization(3)",
        1e-5,
        "",
    ),
    "adamw": (
        "optimizers.AdamW(weight_decay=w, learning_rate=r)",
        "keras.optimizers.AdamW(r, weight_decay=w / r)",
        1e-5,
        "there the decay is not multiplied by the learning rate; divide it once",
    ),
    "moving_average": (
        "optimizers.MovingAverage(o, average_decay=m)",
        "use_ema=True, ema_momentum=m in any Keras optimizer",
        1e-5,
        "measured with start_step=1: Keras starts the average at the weights after the first "
        "step, MovingAverage by default at the untrained ones",
    ),
    "rotate": (
        "image.rotate(x, angle)",
        "keras.ops.image.affine_transform",
        1e-4,
        "radians, counter-clockwise, about the centre ((H-1)/2, (W-1)/2); Keras interpolates "
        'bilinearly by default, tensorflow-addons by "nearest"',
    ),
    "transform": (
        "image.transform(x, matrix)",
        "keras.ops.image.affine_transform(x, matrix)",
        1e-4,
        "the same 8 numbers: from output to input, in (x, y); outside is 0 in both",
    ),
    "translate": (
        "image.translate(x, [dx, dy])",
        "keras.ops.image.affine_transform(x, [1, 0, -dx, 0, 1, -dy, 0, 0])",
        1e-4,
        "",
    ),
    "dense_image_warp": (
        "image.dense_image_warp(x, flow)",
        "keras.ops.image.map_coordinates(x, grid - flow, order=1, fill_mode='nearest')",
        1e-4,
        "one call per image and channel",
    ),
    "gaussian_filter2d": (
        "image.gaussian_filter2d(x, n, s)",
        "keras.ops.image.gaussian_blur(pad(x), (n, n), (s, s), 'channels_last')",
        1e-5,
        "Keras pads with zeros: pad by reflection first and crop; keep n odd and the kernel square "
        "(Keras 3.15 mixes up a kernel of two sizes); two sigmas are (y, x) there, (x, y) in Keras",
    ),
    "mean_filter2d": (
        "image.mean_filter2d(x, n)",
        "keras.ops.average_pool(pad(x), n, strides=1)",
        1e-5,
        "pad by reflection first",
    ),
    "median_filter2d": (
        "image.median_filter2d(x, n)",
        "scipy.ndimage.median_filter(x, (1, n, n, 1), mode='mirror')",
        0.0,
        "outside the graph",
    ),
    "sigmoid_focal_crossentropy": (
        "losses.SigmoidFocalCrossEntropy()",
        "keras.losses.BinaryFocalCrossentropy(apply_class_balancing=True)",
        1e-5,
        "there the last axis is summed and nothing is averaged; Keras averages: for K channels "
        "its value is 1/K",
    ),
    "f1_score": (
        "metrics.F1Score(K, threshold=0.5)",
        "keras.metrics.F1Score(threshold=0.5)",
        1e-5,
        "",
    ),
    "connected_components": (
        "image.connected_components(mask)",
        "scipy.ndimage.label(mask)",
        0.0,
        "binary masks, neighbours by edge; compared up to the numbering",
    ),
    "euclidean_dist_transform": (
        "image.euclidean_dist_transform(mask)",
        "scipy.ndimage.distance_transform_edt(mask)",
        1e-5,
        "",
    ),
}


def make_inputs() -> dict[str, dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype("float32")

    features = {"x": normal(4, 24, 20, 6) * 3 + 5, "gamma": normal(6), "beta": normal(6)}
    optimized = {"weights": normal(5, 7), "gradients": normal(50, 5, 7)}
    images = generator.uniform(size=(3, 40, 56, 3)).astype("float32")
    blobs = (generator.uniform(size=(3, 48, 40)) < 0.55).astype("uint8")
    labels = (generator.uniform(size=(2, 16, 16, 3)) < 0.4).astype("float32")
    probabilities = generator.uniform(0.01, 0.99, size=labels.shape).astype("float32")
    matrix = [1.1, 0.2, -4.0, -0.15, 0.9, 3.0, 0.001, -0.0005]
    return {
        "instance_normalization": features,
        "group_normalization": features,
        "adamw": optimized,
        "moving_average": optimized,
        "rotate": {"images": images, "angle": np.float32(0.4)},
        "transform": {"images": images, "matrix": np.array(matrix, "float32")},
        "translate": {"images": images, "shift": np.array([5.5, -3.25], "float32")},
        "dense_image_warp": {"images": images, "flow": 4 * normal(3, 40, 56, 2)},
        "gaussian_filter2d": {"images": images},
        "mean_filter2d": {"images": images},
        "median_filter2d": {"images": images},
        "sigmoid_focal_crossentropy": {"y_true": labels, "y_pred": probabilities},
        "f1_score": {"y_true": labels.reshape(-1, 3), "y_pred": probabilities.reshape(-1, 3)},
        "connected_components": {"masks": blobs},
        "euclidean_dist_transform": {"masks": blobs},
    }


def reference(inputs: dict[str, dict[str, np.ndarray]], environment: Path) -> tuple[dict, str]:
    """Outputs of tensorflow-addons for each row, and the versions that gave them."""
    python = environment / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(HERE.parent / ".venv-uv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--quiet", "--python", "3.11", environment], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python, *REQUIREMENTS]
        subprocess.run(install, check=True)
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        flat = {f"{row}/{name}": value for row, v in inputs.items() for name, value in v.items()}
        np.savez(given, **flat)
        command = [python, "-W", "ignore", HERE / "addons_parity" / "reference.py", given, answered]
        run = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE)
        with np.load(answered) as outputs:
            return dict(outputs), run.stdout.strip().splitlines()[-1]


def renumbered(labels: np.ndarray) -> np.ndarray:
    """Components of each mask numbered in the order of their first pixel."""
    result = np.zeros_like(labels)
    for mask, out in zip(labels, result, strict=True):
        values, first = np.unique(mask, return_index=True)
        for number, value in enumerate(values[np.argsort(first)][values[np.argsort(first)] > 0]):
            out[mask == value] = number + 1
    return result


def compare(row: str, ours: np.ndarray, theirs: np.ndarray) -> dict:
    legacy, today, accepted, note = ROWS[row]
    if row == "connected_components":
        ours, theirs = renumbered(ours), renumbered(theirs)
    difference = np.abs(ours.astype("float64") - theirs.astype("float64"))
    absolute = float(difference.max()) if ours.shape == theirs.shape else float("inf")
    relative = absolute / float(np.abs(theirs).max())
    return {
        "row": row,
        "tensorflow_addons": f"tfa.{legacy}",
        "today": today,
        "max_absolute": absolute,
        "max_relative": relative,
        "accepted_relative": accepted,
        "agrees": relative <= accepted,
        "values": int(ours.size),
        "note": note,
    }


def as_markdown(report: dict) -> str:
    lines = [
        "# Parity with tensorflow-addons",
        "",
        f"Measured with {report['reference']} against {report['here']}, on the same inputs, by",
        "`python scripts/check_addons_parity.py`. Differences are the largest of all values; the",
        "relative one is divided by the largest value.",
        "",
        "| tensorflow-addons | today | values | max. absolute | max. relative | what to know |",
        "|---|---|--:|--:|--:|---|",
    ]
    for row in report["rows"]:
        lines.append(
            f"| `{row['tensorflow_addons']}` | `{row['today']}` | {row['values']} "
            f"| {row['max_absolute']:.1e} | {row['max_relative']:.1e} | {row['note']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, default=HERE.parent / ".venv-addons")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "results")
    options = parser.parse_args()

    inputs = make_inputs()
    theirs, versions = reference(inputs, options.environment)
    rows = []
    for row, arguments in inputs.items():
        ours = keras.ops.convert_to_numpy(getattr(recipes, row)(**arguments))
        found = compare(row, ours, theirs[row])
        print(f"{row:28s} {found['max_absolute']:.2e} {found['max_relative']:.2e}", flush=True)
        rows.append(found)
    here = f"keras {keras.__version__} ({keras.backend.backend()}), numpy {np.__version__}"
    here += f", scipy {importlib.metadata.version('scipy')}"
    report = {"reference": versions, "here": here, "rows": rows}
    options.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, indent=1, ensure_ascii=False) + "\n"
    (options.output / "addons_parity.json").write_text(text, encoding="utf-8")
    (options.output / "addons_parity.md").write_text(as_markdown(report), encoding="utf-8")
    disagreeing = [row["row"] for row in rows if not row["agrees"]]
    if disagreeing:
        print(f"disagree: {', '.join(disagreeing)}", file=sys.stderr)
    return 1 if disagreeing else 0


if __name__ == "__main__":
    sys.exit(main())
