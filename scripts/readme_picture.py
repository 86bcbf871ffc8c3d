"""The picture of the README, from a demonstration.

usage: python scripts/readme_picture.py [demo] [docs/images/demo.png]
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH = 1100  # pixels, of the README


def main(demo: str = "demo", output: str = "docs/images/demo.png") -> None:
    file = Path(demo) / "demo.png"
    if not file.is_file():
        raise SystemExit(f"{file} is not there. Make it first: bash scripts/demo.sh")
    picture = Image.open(file).convert("RGB")
    size = (WIDTH, round(picture.height * WIDTH / picture.width))
    picture.resize(size, Image.Resampling.LANCZOS).save(output, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
