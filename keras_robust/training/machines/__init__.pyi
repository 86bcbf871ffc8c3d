from .together import assist as assist
from .together import fit_together as fit_together
from .together import meet as meet
from .together import require_simple as require_simple
