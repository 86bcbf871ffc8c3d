from .ahead import ahead as ahead
from .reading import reading_errors as reading_errors
