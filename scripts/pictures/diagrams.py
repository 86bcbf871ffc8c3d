"""Machines, networks and rooms, drawn."""

from drawing import BLUE, GREEN, GREY, ORANGE, arrow, box, canvas, group, save


def devices() -> None:
    figure, axes = canvas(9, 3.4)
    box(axes, (2, 13), (22, 8), "train, audit, predict, …", code="keras-robust train DATASET")
    for y, name, word in ((24, "TensorFlow", ""), (14, "JAX", "KERAS_BACKEND=jax"),
                          (4, "PyTorch", "KERAS_BACKEND=torch")):  # fmt: skip
        box(axes, (35, y - 1), (22, 8), name, ORANGE, word or "the default")
    group(axes, (33, 1.5), (26, 31))
    group(axes, (66, 1.5), (22.5, 31))
    arrow(axes, (24, 17), (33, 17))
    arrow(axes, (59, 17), (66, 17))
    box(axes, (67.3, 23), (20, 8), "processor", GREEN, "--devices cpu")
    box(axes, (67.3, 13), (20, 8), "one GPU", GREEN, "--devices 0")
    box(axes, (67.3, 3), (20, 8), "several share a batch", GREEN, "--devices 0,1")
    save(figure, "devices")


def several_machines() -> None:
    figure, axes = canvas(9, 3.0)
    for number in range(1, 5):
        x = 2 + 22 * (number - 1)
        box(axes, (x, 19), (20, 8), f"machine {number}", BLUE, f"--part {number}/4")
        arrow(axes, (x + 10, 19), (30 + 10 * (number - 1), 10.5), both=True)
    box(axes, (22, 2.5), (46, 8), "one folder that all see", GREEN, "a piece is a file or a run")
    save(figure, "several-machines")


def workstations() -> None:
    figure, axes = canvas(9, 3.6)
    box(axes, (2, 26), (36, 8), "the command, on any of them", GREY,
        "keras-robust benchmark … --cluster tcp://…")  # fmt: skip
    box(
        axes,
        (52, 26),
        (36, 8),
        "scheduler, on the first",
        ORANGE,
        "dask scheduler --host …",
    )
    arrow(axes, (38, 30), (52, 30), "runs")
    for number in range(3):
        x = 5 + 28 * number
        box(axes, (x, 13.5), (24, 8), f"workstation {number + 1}", BLUE,
            "dask worker … GPU=1")  # fmt: skip
        arrow(axes, (70, 26), (x + 12, 21.5))
        arrow(axes, (x + 12, 13.5), (x + 12, 9), both=True)
    box(axes, (5, 1.5), (80, 7.5), "shared folder", GREEN, "data, runs, checkpoints, results")
    save(figure, "three-workstations")


def queue() -> None:
    figure, axes = canvas(9, 3.4)
    box(axes, (2, 13), (25, 9), "login node", GREY, "--cluster cluster.yaml")
    box(axes, (36, 13), (17, 9), "queue", ORANGE, "SLURM, PBS, …")
    arrow(axes, (27, 17.5), (36, 17.5), "jobs")
    for y, text, colour in ((24, "job: a run, then the next", BLUE), (14, "job: a run, …", BLUE),
                            (4, "time over: saved, paused", GREY)):  # fmt: skip
        box(axes, (63, y - 1), (25, 7), text, colour)
        arrow(axes, (53, 17.5), (63, y + 2.5))
    arrow(axes, (63, 5), (44, 13), bend=-0.25)
    axes.text(41, 4.5, "the next job continues it", ha="center", fontsize=8.5, color="#3b4252")
    save(figure, "slurm")


def co_teaching() -> None:
    figure, axes = canvas(9, 3.2)
    box(axes, (2, 12), (20, 8), "image and drawn mask", GREY, "some voxels are wrong")
    for y, name in ((21, "network A"), (3, "network B")):
        box(axes, (33, y), (18, 8), name, BLUE)
        arrow(axes, (22, 16), (33, y + 4))
        box(axes, (66, y), (22, 8), "loss of each voxel", ORANGE, "small: believed")
        arrow(axes, (51, y + 4), (66, y + 4))
    arrow(axes, (66, 22), (51, 10), bend=0.0)
    arrow(axes, (66, 10), (51, 22), bend=0.0)
    axes.text(74, 16, "each learns from the voxels\nthat the other believes", fontsize=9,
              ha="center", va="center", color="#3b4252")  # fmt: skip
    save(figure, "robust-methods")


def names() -> None:
    figure, axes = canvas(9, 3.2)
    box(axes, (2, 12), (28, 9), "a class or function of yours", ORANGE, '@losses.register("mine")')
    known = (("configurations", "loss: mine+dice"), ("commands and their help", "--loss mine"),
             ("menus in napari", "Mine"), ("reports and messages", "Known: …, mine"))  # fmt: skip
    for number, (text, code) in enumerate(known):
        y = 24.5 - 7.6 * number
        box(axes, (52, y), (36, 6.4), text, BLUE if number % 2 else GREEN, code)
        arrow(axes, (30, 16.5), (52, y + 3.2))
    save(figure, "where-do-i-add")


ALL = (devices, several_machines, workstations, queue, co_teaching, names)
