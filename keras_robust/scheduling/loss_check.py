"""The process that looks whether losses exist: `python -m keras_robust.scheduling.loss_check`.

Reads a JSON list of [name, options], or [name, options, selection], from standard input. Ends with
`REFUSED`, and the reason on standard output, where `losses.get` or `get_selection` refuses one.
"""

import json
import sys

REFUSED = 3


def main() -> int:
    """Look up every loss; returns the exit code."""
    from keras_robust import losses

    for name, options, *selections in json.load(sys.stdin):
        try:
            losses.get(name, **options)
            for selection in selections:
                from keras_robust.models import get_selection

                get_selection(selection["name"], **selection["options"])
        except (TypeError, ValueError) as error:
            print(f"{error} (the loss {name!r} with the options {options})")
            return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
