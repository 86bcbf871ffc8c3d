"""The process that trains one run of a study: `python -m keras_robust.scheduling.worker RUN`.

The folder holds `config.yaml`. Ends with 0 when the run is finished, `BUSY` when another process
trains in the folder, `STOPPED` when it was asked to stop (the run can be resumed), and 1 with a
traceback when the training failed. With `KERAS_ROBUST_FOLLOW_INPUT=1` in its environment it is also
asked to stop by the end of its standard input, so that it ends with whoever began it.
"""

import os
import sys
from pathlib import Path

from keras_robust.common.files import atomic_write_text, locked
from keras_robust.common.interrupts import Interrupts, follow_input, interrupts
from keras_robust.scheduling.records import read_status

LOCK = "worker.lock"
PID = "worker.pid"
BUSY = 75
STOPPED = 130


def main(folder: str | Path) -> int:
    """Train the run in `folder`, or continue it; returns the exit code."""
    folder = Path(folder)
    # A process started in the background of a shell inherits an ignored SIGINT.
    with interrupts() as asked:
        follow_input()
        try:
            with locked(folder / LOCK, wait=False):
                # The lock is the system's and never goes stale; the number is for people.
                atomic_write_text(folder / PID, f"{os.getpid()}\n")
                return _train(folder, asked)
        except BlockingIOError:
            return BUSY
        except KeyboardInterrupt:
            return STOPPED
        except Exception:
            if asked.times:
                return STOPPED
            raise


def _train(folder: Path, asked: Interrupts) -> int:
    if read_status(folder) == "finished":
        return 0
    from keras_robust.training import TrainConfig, train

    asked.check()  # while TensorFlow was imported
    train(TrainConfig.load(folder / "config.yaml"), folder, resume=True)
    return 0 if read_status(folder) == "finished" else STOPPED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
