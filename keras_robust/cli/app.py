"""The command `keras-robust`: one thin subcommand per capability.

What a subcommand needs is imported inside it, so that `keras-robust --help` is quick.
"""

import logging
import os
from typing import Annotated

import typer

from keras_robust.cli import data, quality, studies, training, tuning
from keras_robust.cli.command import Command, show_version

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Train segmentation models on imperfect masks.",
)


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", is_eager=True, callback=show_version, help="Show the versions."
        ),
    ] = False,
) -> None:
    # TensorFlow tells of the processor it was built for; its errors stay.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Each of several models is traced once, which TensorFlow takes for the same one again; and what
    # it cannot translate, for a fault of Python 3.11 at times, it runs as it is.
    logging.getLogger("tensorflow").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    said = record.getMessage()
    return "retracing" not in said and "AutoGraph could not transform" not in said


for _command in (
    data.verify,
    data.import_,
    data.export,
    data.simulate,
    data.mix,
    data.plan,
    data.preprocess,
    training.train,
    training.predict,
    training.evaluate,
    quality.agree,
    quality.audit,
    quality.refine,
    quality.view,
    quality.review_report,
    studies.compare,
    studies.benchmark,
    studies.report,
    studies.crossval,
    studies.choose,
    tuning.tune,
    tuning.stability,
    studies.demo,
):
    app.command(_command.__name__.rstrip("_").replace("_", "-"), cls=Command)(_command)
