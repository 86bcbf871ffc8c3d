"""The command `keras-robust`: one thin subcommand per capability.

What a subcommand needs is imported inside it, so that `keras-robust --help` is quick.
"""

import typer

from keras_robust.console import friendly_errors, progress_bar

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Train segmentation models on imperfect masks, and find the masks that are wrong.",
)


@app.callback()
def _main() -> None:
    pass


if __name__ == "__main__":
    app()
