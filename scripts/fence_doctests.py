"""For the API reference: show `>>>` examples of docstrings as code, wherever they stand."""

import re
from typing import Any

import griffe

# A first line with a prompt, and all lines to the next blank one.
_EXAMPLE = re.compile(r"^([ \t]*)>>> .*(?:\n[ \t]*\S.*)*", re.MULTILINE)


class FenceDoctests(griffe.Extension):
    """Put every example between code fences before the docstring is parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(r"\1```pycon\n\g<0>\n\1```", obj.docstring.value)
