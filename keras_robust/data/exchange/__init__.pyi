from .exporting import export_dataset as export_dataset
from .exporting import export_formats as export_formats
from .found import Entry as Entry
from .found import Found as Found
from .importing import import_dataset as import_dataset
from .importing import understand as understand
from .registry import FORMATS as FORMATS
from .registry import Format as Format
