"""The process that looks whether runs can begin: `python -m keras_robust.scheduling.config_check`.

Reads a JSON list of training configurations from standard input. Ends with `REFUSED`, and the
reason on standard output, where a loss or a selection does not exist or takes other options, or
where the data cannot be read.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

REFUSED = 3
LOSS, INPUTS = ("loss", "loss_options", "selection"), ("data", "noise", "plan")


def distinct(configs: Sequence[Mapping[str, Any]], fields: Sequence[str]) -> list[dict[str, Any]]:
    """The different values that configurations have in some fields.

    >>> distinct([{"loss": "t", "seed": 0}, {"loss": "t", "seed": 1}], ["loss"])
    [{'loss': 't'}]
    """
    parts = [{key: config[key] for key in fields if config.get(key)} for config in configs]
    return list({json.dumps(part, sort_keys=True, default=str): part for part in parts}.values())


def refusal(configs: Sequence[Mapping[str, Any]]) -> str:
    """Why one of the configurations cannot be trained; empty where all can.

    Args:
        configs: Fields of `keras_robust.training.TrainConfig`.
    """
    from keras_robust import losses
    from keras_robust.models import get_selection
    from keras_robust.training import TrainConfig
    from keras_robust.training.inputs import check_inputs

    for part in distinct(configs, LOSS):
        name, options = part["loss"], part.get("loss_options", {})
        try:
            losses.get(name, **options)
            if selection := part.get("selection"):
                get_selection(selection["name"], **selection["options"])
        except (TypeError, ValueError) as error:
            return f"{error} (the loss {name!r} with the options {options})"
    for part in distinct(configs, INPUTS):
        try:
            check_inputs(TrainConfig(**part))
        except (OSError, ValueError) as error:
            return str(error)
    return ""


def main() -> int:
    """Look at every configuration; returns the exit code."""
    reason = refusal(json.load(sys.stdin))
    print(reason)
    return REFUSED if reason else 0


if __name__ == "__main__":
    sys.exit(main())
