from .series import Series as Series
from .series import find_files as find_files
from .series import is_dicom as is_dicom
