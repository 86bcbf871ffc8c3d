"""The process that looks whether losses exist: `python -m keras_robust.experiments.loss_check`.

Reads a JSON list of [name, options] from standard input. Ends with `REFUSED`, and the reason on
standard output, where `losses.get` refuses one of them.
"""

import json
import sys

REFUSED = 3


def main() -> int:
    """Look up every loss; returns the exit code."""
    from keras_robust import losses

    for name, options in json.load(sys.stdin):
        try:
            losses.get(name, **options)
        except (TypeError, ValueError) as error:
            print(f"{error} (the loss {name!r} with the options {options})")
            return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
