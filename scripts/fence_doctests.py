"""For the API reference: examples, links and call arguments that stand in a docstring."""

import re
from typing import Any

import griffe

# A first line with a prompt, and all lines to the next blank one.
_EXAMPLE = re.compile(r"^([ \t]*)>>> .*(?:\n[ \t]*\S.*)*", re.MULTILINE)
# The section of Keras that the reader of docstrings does not know, and an argument in it.
_CALL = re.compile(r"^([ \t]*)Call arguments:\n(?:\1[ \t]+\S.*\n?)+", re.MULTILINE)
_ARGUMENT = re.compile(r"^([ \t]+)(\w+):(?= \S)", re.MULTILINE)
_LINK = re.compile(r"^[ \t]*\[([^\]]+)\]:[ \t]*(\S+)[ \t]*$\n?", re.MULTILINE)


class FenceDoctests(griffe.Extension):
    """Put examples between code fences, link targets to their links, call arguments in a list.

    Sections of a docstring are rendered apart, so that a target below the arguments would not be
    found from the text above them.
    """

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is None:
            return
        text = obj.docstring.value
        for label, target in _LINK.findall(text):
            text = re.sub(rf"\[{re.escape(label)}\](?![:(])", f"[{label}]({target})", text)
        text = _LINK.sub("", text)
        text = _CALL.sub(lambda found: _ARGUMENT.sub(r"\1- `\2`:", found[0]), text)
        obj.docstring.value = _EXAMPLE.sub(r"\1```pycon\n\g<0>\n\1```", text)
