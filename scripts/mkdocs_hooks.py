"""For the documentation: the reference of the command line, from the commands themselves."""

from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from keras_robust.cli import app


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Put the options of all commands in the place of `{{ commands }}`."""
    if "{{ commands }}" not in markdown:
        return markdown
    command = get_command(app)
    context = typer.Context(command, info_name="keras-robust")
    text = get_docs_for_click(obj=command, ctx=context, name="keras-robust")
    return markdown.replace("{{ commands }}", text.split("\n", 1)[1])
