from .class_differences import ClassDifferences as ClassDifferences
from .error_map import error_map as error_map
from .judged import Judged as Judged
from .kinds import KINDS as KINDS
from .scores import SCORES as SCORES
from .scores import Suspicion as Suspicion
from .scores import score_masks as score_masks
