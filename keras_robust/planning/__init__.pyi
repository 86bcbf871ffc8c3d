from .fingerprint import Fingerprint as Fingerprint
from .fingerprint import fingerprint as fingerprint
from .plan import Plan as Plan
from .plan import make_plan as make_plan
from .preprocessing import preprocess as preprocess
from .sliding_window import gaussian_weights as gaussian_weights
from .sliding_window import sliding_window as sliding_window
from .sliding_window import window_starts as window_starts
