"""Pages that commands write, as a browser shows them, and what they say in a terminal."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from drawing import IMAGES, shrink
from PIL import Image, ImageChops, ImageOps
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
WIDTH = 1000


def report() -> None:
    """The report of a study."""
    _page(RESULTS / "tloss" / "isic" / "report.html", "read-the-report", 950)


def worst_masks(demo: Path) -> None:
    """Of an audit's report the masks that it ranks first; of a folder of `keras-robust demo`."""
    page = demo / "audit" / "report.html"
    _page(page, "find-wrong-masks", 656, from_heading="most suspicious")


def _page(page: Path, name: str, height: int, from_heading: str = "") -> None:
    """A picture of the top of a page, or of the part below a heading."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("Pictures of pages need chromium.")
    text = page.read_text(encoding="utf-8")
    if from_heading:
        begin = re.search(rf"<h2[^>]*>[^<]*{from_heading}", text)
        body = re.search(r"<body[^>]*>", text)
        if begin is None or body is None:
            raise SystemExit(f"{page} has no heading {from_heading!r}.")
        text = text[: body.end()] + text[begin.start() :]
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "page.html"
        part.write_text(text, encoding="utf-8")
        path = IMAGES / f"{name}.png"
        subprocess.run(
            [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             f"--window-size={WIDTH},{height}", f"--screenshot={path}", part.as_uri()],
            check=True,
            capture_output=True,
        )  # fmt: skip
    picture = Image.open(path).convert("RGB")
    blank = Image.new("RGB", picture.size, picture.getpixel((0, 0)))
    left, top, right, bottom = ImageChops.difference(picture, blank).getbbox()
    cut = picture.crop((left, top, right, bottom))
    ImageOps.expand(cut, 16, blank.getpixel((0, 0))).save(path)
    shrink(path)


def terminal() -> None:
    """`keras-robust import` and `verify` of two folders of pictures."""
    from keras_robust.data import sample_path

    sample = sample_path()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("images", "masks"):
            (folder / "lesions" / kind).mkdir(parents=True)
            for file in sorted((sample / kind).iterdir())[:12]:
                shutil.copy(file, folder / "lesions" / kind)
        _typed(
            "your-own-data",
            folder,
            "keras-robust import lesions data --annotator anna",
            "keras-robust verify data",
        )


def _typed(name: str, folder: Path, *commands: str) -> None:
    console = Console(record=True, width=92, file=(folder / "said").open("w"))
    program = Path(sys.executable).with_name("keras-robust")
    for command in commands:
        console.print(Text(f"$ {command}", style="bold green"))
        done = subprocess.run(
            [program, *command.split()[1:]], cwd=folder, capture_output=True, text=True, check=True
        )
        console.print(Text(done.stdout.rstrip()))
    svg = console.export_svg(title="", theme=MONOKAI)
    # Fonts are not fetched: the reader's own monospaced one is shown.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    (IMAGES / f"{name}.svg").write_text(svg.replace("Fira Code,", ""), encoding="utf-8")


ALL = (report, terminal)
