"""The picture of the README, from a demonstration.

usage: python scripts/readme_picture.py [demo] [docs/images/demo.png]
"""

import shutil
import sys
from pathlib import Path


def main(demo: str = "demo", output: str = "docs/images/demo.png") -> None:
    picture = Path(demo) / "demo.png"
    if not picture.is_file():
        raise SystemExit(f"{picture} is not there. Make it first: bash scripts/demo.sh")
    shutil.copyfile(picture, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
