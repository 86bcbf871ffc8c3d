"""Words and numbers as people read them."""

import errno

from keras_robust.common.opening import shortened


def quote(text: str) -> str:
    """`text` as it is where it is printable, else escaped: names come from files."""
    text = shortened(text, 300)
    return text if text.isprintable() and text.strip() == text and text else repr(text)


def duration(seconds: float) -> str:
    """A duration for people.

    >>> duration(42), duration(200), duration(9000), duration(200000)
    ('42 s', '3 min', '2 h 30 min', '2 d 7 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def failure(error: OSError) -> tuple[str, str]:
    """What an error of the system means and what to do, for people who know no error numbers.

    >>> failure(OSError(28, "No space left on device"))
    ('The disk is full', 'Free some space and try again.')
    """
    return _FAILURES.get(
        error.errno or 0,
        (
            "The disk or the network drive does not answer",
            "Look whether it is there, and try again.",
        ),
    )


_FAILURES = {
    errno.ENOSPC: ("The disk is full", "Free some space and try again."),
    errno.EDQUOT: ("Your share of the disk is full", "Free some space and try again."),
    errno.EACCES: ("This may not be read or written", "Ask whoever owns it for the right to."),
    errno.EPERM: ("This may not be read or written", "Ask whoever owns it for the right to."),
    errno.EROFS: ("The disk can only be read", "Choose a folder elsewhere."),
    errno.ENOTDIR: ("A file lies where a folder should be", "Choose a folder elsewhere."),
    errno.EEXIST: ("A file lies where a folder should be", "Choose a folder elsewhere."),
    errno.ENOENT: ("It is not there (any more)", "Look whether it was moved or renamed."),
}
