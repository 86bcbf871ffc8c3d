"""A self-contained HTML page: text, tables and inlined pictures."""

import base64
import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light dark; --text: #1d1f23; --soft: #5c6370; --line: #d9dce1;
  --back: #ffffff; --card: #f6f7f9; --best: #b34700; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6ea; --soft: #9aa1ad; --line: #3a3f48;
  --back: #16181c; --card: #1f2227; --best: #ff9d57; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 17px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2.5rem 1.5rem 5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p, li { max-width: 46rem; }
.soft { color: var(--soft); }
.note { border-left: 3px solid var(--best); background: var(--card); padding: .5rem .9rem;
  margin: .7rem 0; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums;
  margin: .6rem 0; }
th, td { padding: .32rem .9rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: .2rem; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; }
tbody tr + tr td { border-top: 1px solid var(--line); }
td.text, th.text { text-align: left; white-space: normal; }
td.best { color: var(--best); font-weight: 700; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; padding: 8px; }
.scroll img { max-width: none; }
figcaption { color: var(--soft); font-size: .92rem; max-width: 46rem; margin-top: .3rem; }
details { margin: .8rem 0; }
summary { cursor: pointer; font-weight: 600; }
code { font-size: .9em; overflow-wrap: anywhere; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); }
.card { background: var(--card); border-radius: 8px; padding: .8rem; min-width: 0; }
.card h3 { margin: 0 0 .4rem; overflow-wrap: anywhere; }
.card img { display: block; width: 100%; padding: 0; background: #000; border-radius: 4px; }
.card p { margin: .35rem 0 0; font-size: .92rem; overflow-wrap: anywhere; }
.key { display: inline-block; width: 1.6em; height: .35em; margin: 0 .4em .15em 0;
  border-radius: 2px; }
@media print { main { max-width: none; padding: 0; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page from parts that are HTML already.

    >>> page("A & B", [paragraph("x < y")]).count("&amp;")
    2
    """
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )


def heading(text: str, level: int = 2) -> str:
    """A heading."""
    return f"<h{level}>{escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is `soft`, `note` or nothing."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def key(entries: Iterable[tuple[str, str]]) -> str:
    """A legend: colours as CSS has them, and what they stand for.

    >>> key([("#fff", "clean")])
    '<p class="soft"><span class="key" style="background:#fff"></span>clean</p>'
    """
    parts = [f'<span class="key" style="background:{c}"></span>{escape(t)}' for c, t in entries]
    return f'<p class="soft">{" &ensp; ".join(parts)}</p>'


def cards(entries: Iterable[str]) -> str:
    """A grid of cards, see `card`."""
    return f'<div class="cards">{"".join(entries)}</div>'


def card(title: str, jpeg: bytes, alternative: str, lines: Iterable[str]) -> str:
    """A picture with a title and lines of text below."""
    encoded = base64.b64encode(jpeg).decode("ascii")
    image = f'<img src="data:image/jpeg;base64,{encoded}" alt="{escape(alternative)}">'
    text = "".join(paragraph(line) for line in lines)
    return f'<div class="card"><h3>{escape(title)}</h3>{image}{text}</div>'


def folded(summary: str, parts: Iterable[str]) -> str:
    """Parts behind a line to click on."""
    return f"<details><summary>{escape(summary)}</summary>\n{''.join(parts)}\n</details>"


def table(
    content: "pd.DataFrame",
    best: Iterable[tuple[str, str]] = (),
    text: Iterable[str] = (),
    index: bool = True,
) -> str:
    """A table; cells of `best` (row, column) are emphasised, columns of `text` set as text."""
    emphasised, written = set(best), set(text)
    head = [str(content.index.name or "")] if index else []
    head += [str(column) for column in content.columns]
    kinds = [' class="text"' if name in written else "" for name in head]
    titles = [f"<th{kind}>{escape(name)}</th>" for kind, name in zip(kinds, head, strict=True)]
    rows = []
    for name, row in content.iterrows():
        cells = [f"<td>{escape(str(name))}</td>"] if index else []
        for column, value in row.items():
            kind = "best" if (str(name), str(column)) in emphasised else ""
            kind = kind or ("text" if str(column) in written else "")
            opening = f'<td class="{kind}">' if kind else "<td>"
            cells.append(f"{opening}{escape(str(value))}</td>")
        rows.append("<tr>" + "".join(cells) + "</tr>")
    return (
        f'<div class="scroll"><table><thead><tr>{"".join(titles)}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def png(figure: "Figure") -> bytes:
    """A figure as PNG, the same bytes every time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()


def picture(
    content: bytes,
    alternative: str,
    caption: str = "",
    width_inches: float | None = None,
    wide: bool = False,
) -> str:
    """An inlined PNG; a `wide` one keeps its size and scrolls where it does not fit."""
    encoded = base64.b64encode(content).decode("ascii")
    width = f' width="{round(92 * width_inches)}"' if width_inches else ""
    image = f'<img{width} src="data:image/png;base64,{encoded}" alt="{escape(alternative)}">'
    if wide:
        image = f'<div class="scroll">{image}</div>'
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{image}{below}</figure>"
