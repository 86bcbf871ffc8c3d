"""Progress of a training run in a terminal."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from keras_robust.cli.console import is_quiet
from keras_robust.training.config import TrainConfig
from keras_robust.training.defaults import FEW_STEPS


@contextmanager
def training_view(config: TrainConfig) -> Iterator[Callable[..., None]]:
    """A bar over all steps with the figures of the last epoch, as the `progress` of `train`.

    Where standard error is no terminal, one line per epoch.
    """
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    said: list[str] = []
    columns = (
        *Progress.get_default_columns()[:-1],
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console, disable=is_quiet() or not console.is_terminal) as bar:
        reading = bar.add_task("Masks", total=None, figures="", visible=False)
        training = bar.add_task(f"Training {config.loss}", total=None, figures="")
        predicting = bar.add_task("Predicting", total=None, figures="", visible=False)

        def show(stage: str, done: int, total: int, figures: Mapping[str, float]) -> None:
            if stage == "data":
                bar.update(reading, completed=done, total=total, visible=done < total)
            elif stage == "predict":
                bar.update(predicting, completed=done, total=total, visible=done < total)
            elif stage == "step":
                if not said:
                    said.append(budget(config, total))
                    console.print(said[0])
                bar.update(training, completed=done, total=total)
            else:
                text = f"epoch {done}/{total}  {describe(figures)}"
                bar.update(training, figures=text)
                if not (is_quiet() or console.is_terminal):
                    console.print(text)

        yield show


def budget(config: TrainConfig, steps: int) -> str:
    """What a run will take, with a warning where it is little.

    >>> budget(TrainConfig(data={"path": "lesions"}, epochs=100, batch_size=2), 1000)
    '100 epochs of 10 steps.'
    """
    epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    text = f"{epochs} of {steps // config.epochs} steps."
    if steps >= FEW_STEPS:
        return text
    return (
        f"{text} Warning: {steps} steps in all, fewer than {FEW_STEPS}, often leave a network "
        "untrained. Give more --epochs or --steps-per-epoch, or a smaller --batch-size."
    )


def describe(row: Mapping[str, float]) -> str:
    """The figures of an epoch in short.

    >>> describe({"loss": 0.25, "nu": 1.0, "dice_test": 0.8, "seconds": 3.0})
    'loss 0.2500  nu 1.000  dice_test 0.800'
    """
    shown = ("nu", "dice_train", "pseudo_dice_train", "pseudo_dice_val", "dice_test")
    formats = {"loss": ".4f", **dict.fromkeys(shown, ".3f")}
    return "  ".join(f"{key} {row[key]:{form}}" for key, form in formats.items() if key in row)
