"""What makes documented commands short, and what stands in for those that cannot run here.

Options are only ever added behind those that a page shows.
"""

# The first rule whose words are all in the command counts.
SHORTER: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (
        ("train", "plan.folder="),
        ("--epochs", "1", "--set", "plan.features=2", "--set", "plan.steps_per_epoch=1",
         "--set", "plan.validation_steps=1", "--set", "tensorboard=false"),
    ),
    (
        ("train", "data.size="),
        ("--epochs", "1", "--batch-size", "2", "--set", "data.size=[8, 8, 8]",
         "--set", "model.features=2", "--set", "model.depth=1", "--set", "tensorboard=false"),
    ),
    (
        ("train",),
        ("--epochs", "1", "--batch-size", "2", "--size", "16x16",
         "--set", "model.features=2", "--set", "model.depth=1", "--set", "tensorboard=false"),
    ),
    (("predict", "runs/fold"), ("--no-mirror",)),
    (("evaluate", "runs/fold"), ("--no-mirror",)),
    (("audit", "--predictions"), ()),
    (
        ("audit",),
        ("--folds", "2", "--epochs", "1", "--size", "16x16", "--set", "batch_size=2",
         "--set", "model.features=2", "--set", "model.depth=1"),
    ),
    (
        ("tune", "--space stocot"),
        ("--trials", "1", "--epochs", "1", "--set", "selection.options.warmup=0",
         "--set", "selection.options.ramp=1"),
    ),
    (("tune",), ("--trials", "1", "--epochs", "1")),
    (("demo",), ("--size", "16", "--features", "2", "--epochs", "1")),
)  # fmt: skip

# What a study of a page is cut down to, once it is known to be valid as it stands.
SMALL_BASE = {"epochs": 1, "batch_size": 2, "model": {"features": 2, "depth": 1}}
SMALL_STUDY = {"losses": 2, "noise": -1, "seeds": 1}  # the first so many; of noise the last
DROPPED_OF_STUDY = ("nu_tilde",)

# Programs and files that stand in for what a page names: its text for the shell, and the reason.
STAND_INS = {
    "bin/pip": ("exit 0", "the wheel is installed, and its extras lie beside it"),
    "scripts/demo.sh": (
        'exec keras-robust demo "$@"',
        "it makes an environment of the checkout, and starts this in it",
    ),
    "scripts/test.sh": ("exit 0", "it starts the tests, and this one among them"),
}

# A command of which the window is closed by itself, after so many seconds.
WINDOWS = {"view": 2}
