"""Time sliding windows and prediction against MONAI.

    python scripts/bench/inference.py [--repeats 5] [--monai PYTHON] [--output docs/results]

The same image, window, overlap of one half, Gaussian weights and batch for both: with a predictor
that costs nothing, which leaves the windowing alone; and with a U-Net of the same stages, features
and convolutions that ends in a softmax (`keras_robust.models.UNet` on TensorFlow, MONAI's
`DynUNet`). Each program runs in a process of its own with as many threads as there are cores; they
take turns, and a figure is the median over the repeats of wall time. Peak memory is the most that
a prediction holds beyond what the process held after one of two windows. `--monai` names a
Python that has MONAI, if it is not this one; without MONAI its rows are left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Image, window, and U-Net: features of the first stage, and down-samplings.
CASES = {
    "128³, windows of 64³": ((128,) * 3, (64,) * 3, 8, 3),
    "1024², windows of 256²": ((1024,) * 2, (256,) * 2, 8, 5),
}
WHAT = ("windowing alone", "U-Net")
CLASSES = 3
TARGET = 1.0


def ours(window, features, depth, network, threads):
    import numpy as np

    from keras_robust.planning.sliding_window import sliding_window

    if network:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        from keras_robust.inference.forward import forward
        from keras_robust.models import UNet

        model = UNet((*window, 1), classes=CLASSES, features=features, depth=depth)
        predict, weights = forward(model), model.count_params()
    else:
        found = np.full((1, *window, CLASSES), 1 / CLASSES, np.float32)
        predict, weights = (lambda patches: found), 0
    return lambda image: sliding_window(predict, image[..., np.newaxis], window), weights


def monai(window, features, depth, network, threads):
    import torch
    from monai.inferers import sliding_window_inference
    from monai.networks.nets import DynUNet

    torch.set_num_threads(threads)
    if network:
        rank = len(window)
        unet = DynUNet(
            rank,
            1,
            CLASSES,
            kernel_size=[3] * (depth + 1),
            strides=[1] + [2] * depth,
            upsample_kernel_size=[2] * depth,
            filters=[min(features * 2**stage, 512) for stage in range(depth + 1)],
        ).eval()
        weights = sum(parameter.numel() for parameter in unet.parameters())

        def predict(patches):
            return torch.softmax(unet(patches), dim=1)
    else:
        found, weights = torch.full((1, CLASSES, *window), 1 / CLASSES), 0

        def predict(patches):
            return found

    def run(image):
        pixels = torch.from_numpy(image)[None, None]
        with torch.inference_mode():
            return sliding_window_inference(
                pixels, window, 1, predict, overlap=0.5, mode="gaussian", sigma_scale=0.125
            ).numpy()

    return run, weights


def serve(program: str, case: str, network: bool, threads: int) -> None:
    """Predict once for every line on standard input, and print what it took."""
    import numpy as np

    size, window, features, depth = CASES[case]
    image = np.random.default_rng(0).standard_normal(size, np.float32)
    make = {"keras-robust": ours, "MONAI": monai}[program]
    predict, weights = make(window, features, depth, network, threads)

    def status(field: str) -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
        raise OSError(f"/proc/self/status has no field {field}")

    # What programs load on first use is no part of the peak: two windows, then all of them.
    few = tuple(slice(edge + edge // 2 if axis == 0 else edge) for axis, edge in enumerate(window))
    predict(image[few].copy())
    before = status("VmRSS")
    print(json.dumps({"weights": weights}), flush=True)
    for _ in sys.stdin:
        Path("/proc/self/clear_refs").write_text("5")
        start = time.perf_counter()
        result = predict(image)
        seconds = time.perf_counter() - start
        peak = status("VmHWM") - before
        if not np.isfinite(result).all():
            sys.exit("The prediction is not finite.")
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)
        del result


def measure(pythons: dict[str, str], case: str, network: bool, repeats: int, threads: int) -> dict:
    servers = {
        program: subprocess.Popen(
            [python, __file__, "--serve", program, case, str(int(network)), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        for program, python in pythons.items()
    }

    def answer(program: str) -> dict:
        line = servers[program].stdout.readline()
        if not line:
            sys.exit(f"{program} has failed.")
        return json.loads(line)

    weights = {program: answer(program)["weights"] for program in servers}
    taken: dict[str, list[dict]] = {program: [] for program in servers}
    for _ in range(repeats):
        for program, server in servers.items():
            server.stdin.write("\n")
            server.stdin.flush()
            taken[program].append(answer(program))
    for server in servers.values():
        server.stdin.close()
        server.wait()
    programs = {
        program: {
            "seconds": round(statistics.median(one["seconds"] for one in all_taken), 4),
            "peak_mib": round(statistics.median(one["peak"] for one in all_taken) / 2**20),
            "weights": weights[program],
        }
        for program, all_taken in taken.items()
    }
    row = {"image": case, "what": WHAT[network], "programs": programs}
    if "MONAI" in programs:
        seconds = [programs[program]["seconds"] for program in ("MONAI", "keras-robust")]
        row["ratio"] = round(seconds[0] / seconds[1], 2)
    return row


def table(report: dict) -> list[str]:
    lines = [
        "# Sliding windows against MONAI",
        "",
        "The same image, window, overlap (one half), Gaussian weights and batch (1), without "
        "mirroring, one channel in and three classes out. The ratio is MONAI's time over ours: "
        f"the target is at least {TARGET}×. Wall times, medians of {report['repeats']} repeats in "
        f"turns, {report['threads']} threads; peak memory is what a "
        "prediction adds to what the process held after one of two windows, libraries included.",
        "",
        "| image | what | program | weights | time | peak memory | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["results"]:
        for program, found in row["programs"].items():
            ratio = f"{row['ratio']:.2f}×" if program == "MONAI" else ""
            lines.append(
                f"| {row['image']} | {row['what']} | {program} | {found['weights']:,} | "
                f"{found['seconds']:.3f} s | {found['peak_mib']} MiB | {ratio} |"
            )
    if report["skipped"]:
        lines += ["", "Skipped, as it is not installed: MONAI."]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--monai", default=sys.executable, help="a Python that has MONAI")
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    parser.add_argument("--serve", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        program, case, network, threads = arguments.serve
        serve(program, case, bool(int(network)), int(threads))
        return
    from result_page import environment, write_results

    asked = "import monai, torch; print(monai.__version__, torch.__version__)"
    found = subprocess.run([arguments.monai, "-c", asked], capture_output=True, text=True)
    pythons = {"keras-robust": sys.executable}
    report = environment(["keras", "tensorflow", "numpy"])
    if found.returncode == 0:
        pythons["MONAI"] = arguments.monai
        versions = found.stdout.split()[-2:]
        report["versions"].update(zip(("MONAI", "PyTorch"), versions, strict=True))
    report |= {
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "skipped": found.returncode != 0,
        "results": [
            measure(pythons, case, network, arguments.repeats, arguments.threads)
            for case in CASES
            for network in (False, True)
        ],
    }
    print(write_results(arguments.output, "inference", report, table(report)))
    sys.exit(any(row.get("ratio", TARGET) < TARGET for row in report["results"]))


if __name__ == "__main__":
    main()
