"""Draw the pictures that open the pages of docs/how-to.

Diagrams, plots of the figures in docs/results and of what the library computes, what commands say,
and pages that they write, as Chromium shows them. Pictures of windows are made elsewhere, see
`docs/images`.

usage: python scripts/docs_pictures.py [--only NAME ...] [--demo FOLDER]
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "pictures"))
import diagrams
import pages
import plots


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="names of functions")
    parser.add_argument("--demo", type=Path, help="of `keras-robust demo`: also its worst masks")
    given = parser.parse_args()
    for draw in (*diagrams.ALL, *plots.ALL, *pages.ALL):
        if not given.only or draw.__name__ in given.only:
            draw()
            print(draw.__name__, flush=True)
    if given.demo:
        pages.worst_masks(given.demo)


if __name__ == "__main__":
    main()
