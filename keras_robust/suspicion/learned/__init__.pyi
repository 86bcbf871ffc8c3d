from .default_score import DefaultScore as DefaultScore
from .trust import Found as Found
from .trust import Trust as Trust
