from .manifest import MANIFEST as MANIFEST
from .registry import read_layout as read_layout
