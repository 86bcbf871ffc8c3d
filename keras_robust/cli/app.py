"""The command `keras-robust`: one thin subcommand per capability.

What a subcommand needs is imported inside it, so that `keras-robust --help` is quick.
"""

import logging
import os

import typer

from keras_robust.cli import data, quality, studies, training, tuning
from keras_robust.cli.names import ListsNames

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Train segmentation models on imperfect masks.",
)


@app.callback()
def _main() -> None:
    # TensorFlow tells of the processor it was built for; its warnings and errors stay.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # Each of several models is traced once, which TensorFlow takes for the same one again.
    logging.getLogger("tensorflow").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "retracing" not in record.getMessage()


for _command in (
    data.verify,
    data.simulate,
    data.mix,
    data.plan,
    data.preprocess,
    training.train,
    training.predict,
    training.evaluate,
    quality.agree,
    quality.audit,
    quality.view,
    studies.benchmark,
    studies.report,
    studies.crossval,
    tuning.tune,
    tuning.stability,
    studies.demo,
):
    app.command(cls=ListsNames)(_command)
