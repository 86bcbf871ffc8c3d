"""The picture of the README, from the runs of the demo.

usage: python scripts/readme_picture.py [demo/runs] [docs/images/demo.png]
"""

import sys

from keras_robust.scheduling.records import find_runs
from keras_robust.studies.panels import mask_panels


def main(runs: str = "demo/runs", output: str = "docs/images/demo.png") -> None:
    figure = mask_panels(find_runs(runs), noisy_rows=3, test_rows=1, cell_inches=1.5)
    if figure is None:
        raise SystemExit(f"{runs} holds no finished runs. Run first: bash scripts/demo.sh")
    figure.savefig(output, dpi=110, facecolor="white")


if __name__ == "__main__":
    main(*sys.argv[1:])
