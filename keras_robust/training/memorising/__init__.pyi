from .guard import MemorisationGuard as MemorisationGuard
from .looks import peak as peak
from .looks import smoothed as smoothed
