from .manifest import MANIFEST as MANIFEST
from .registry import layout_titles as layout_titles
from .registry import read_layout as read_layout
from .registry import register_layout as register_layout
