"""Names that come from files and become names of files."""

from keras_robust.data.problems import quote

__all__ = ["name_problem"]


def name_problem(kind: str, name: str) -> str | None:
    """Why `name` cannot name a file of ours, or None: names from files never become paths."""
    if not name or name in (".", "..") or name != name.strip() or len(name.encode()) > 200:
        reason = "is empty, '.' or '..', longer than 200 bytes, or has spaces around it"
    elif any(c in '/\\:*?"<>|' or ord(c) < 32 or ord(c) == 127 for c in name):
        reason = 'has a character that file names cannot hold (/ \\ : * ? " < > | or control)'
    else:
        return None
    return f"{kind} {quote(name)} {reason}; rename it"
