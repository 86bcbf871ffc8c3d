"""For the documentation: the reference of the command line, the gallery, and tables of
measurements."""

import json
import re
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from keras_robust.cli import app

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = DOCS / "results"
COLUMNS = 3  # of the gallery


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Put a generated text in the place of each `{{ name }}`."""
    for name, text in TEXTS.items():
        if f"{{{{ {name} }}}}" in markdown:
            markdown = markdown.replace(f"{{{{ {name} }}}}", text())
    return markdown


def _commands() -> str:
    command = get_command(app)
    for one in command.commands.values():  # which the list would cut off
        one.short_help = one.help
        one.list_names()
    context = typer.Context(command, info_name="keras-robust")
    text = get_docs_for_click(obj=command, ctx=context, name="keras-robust")
    return text.split("\n", 1)[1]


def _results(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _startup() -> str:
    report = _results("startup")
    rows = "".join(
        f"| {what} | {seconds:.2f} s | {report['least_seconds'][what]:.2f} s |\n"
        for what, seconds in report["median_seconds"].items()
    )
    return (
        f"| command | median of {report['repeats']} | least |\n|---|--:|--:|\n{rows}\n"
        f"Measured with Python {report['python']} on {report['processor']}."
    )


def _input_memory() -> str:
    report = _results("input_memory")
    rows = "".join(
        f"| {row['images']:,} | {row['peak_mib']:.0f} MiB | {row['images_per_second']:.0f} |\n"
        for row in report["results"]
    )
    return (
        f"| images | peak memory | images per second |\n|--:|--:|--:|\n{rows}\n"
        f"Peak memory grows by {report['growth']:.1%}. Measured on {report['machine']}."
    )


def _gallery() -> str:
    """The pages of `how-to` by their titles, each with the picture that opens it."""
    cells = []
    for page in sorted({*(DOCS / "how-to").glob("*.md")} - {DOCS / "how-to" / "index.md"}):
        opening = re.match(r"# (.+)\n\n!\[(.*)\]\((.+)\)\n", page.read_text(encoding="utf-8"))
        if opening is None:
            raise ValueError(f"{page} does not open with a picture.")
        title, alt, picture = opening.groups()
        cells.append((title, f"[![{alt}]({picture}){{ width=260 }}]({page.name})", page.name))
    cells.sort()
    cells += [("", "", "")] * (-len(cells) % COLUMNS)
    lines = []
    for start in range(0, len(cells), COLUMNS):
        row = cells[start : start + COLUMNS]
        lines.append(" | ".join(picture for _, picture, _ in row))
        lines.append(" | ".join(f"[{title}]({page})" if title else "" for title, _, page in row))
    head = f"|{'   |' * COLUMNS}\n|{':-:|' * COLUMNS}\n"
    return head + "".join(f"| {line} |\n" for line in lines)


TEXTS = {
    "gallery": _gallery,
    "commands": _commands,
    "startup": _startup,
    "input_memory": _input_memory,
}
