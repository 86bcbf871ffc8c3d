"""`python -m keras_robust.cli`, and a part of a command that a cluster does: `--piece FOLDER`."""

import sys
from pathlib import Path

from keras_robust.cli import app
from keras_robust.cli.command import words_of_piece
from keras_robust.common.files import locked
from keras_robust.common.interrupts import follow_input
from keras_robust.scheduling.worker import LOCK

if __name__ == "__main__":
    if sys.argv[1:2] == ["--piece"]:
        follow_input()
        with locked(Path(sys.argv[2]) / LOCK):
            app(words_of_piece(Path(sys.argv[2])))
    app()
