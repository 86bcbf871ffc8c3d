"""Keys of the review, none of which napari uses where labels are painted."""

__all__ = ["CLASS_KEYS", "KEYS", "UNDO"]

KEYS = {
    "accept": "A",
    "repair": "R",
    "reject": "D",
    "ask an expert": "H",
    "next undecided": "N",
    "next": "PageDown",
    "previous": "PageUp",
    "ghost": "G",
    "take whole": "W",
    "take in brush": "T",
    "use layer": "Shift+U",
    "take back": "U",
    "window": "J",
    "next place": "K",
    "previous place": "I",
    "error map": "Q",
    "places": "Shift+L",
    "orthogonal views": "Shift+O",
    "shortcuts": "?",
}
KEYS |= {
    "grow": "Shift+G",
    "shrink": "Shift+S",
    "smooth": "Shift+M",
    "fill holes": "Shift+H",
    "remove islands": "Shift+R",
    "keep largest": "Shift+K",
    "snap": "Shift+E",
    "take piece": "Shift+W",
    "change piece": "Shift+C",
    "swap classes": "Shift+X",
    "interpolate": "Shift+I",
    "copy slice": "Shift+N",
    "smart brush": "Shift+B",
    "threshold brush": "Shift+T",
    "lock": "Shift+Q",
}
CLASS_KEYS = tuple(f"Alt+{digit}" for digit in range(1, 10))
KEYS |= {f"class {number}": key for number, key in enumerate(CLASS_KEYS, start=1)}
UNDO = "Control-Z"  # napari's own, for steps of painting; without any, the last decision
