from .naming import KINDS as KINDS
from .naming import kind_of_error as kind_of_error
from .others import Fit as Fit
from .others import Others as Others
from .places import Place as Place
from .places import places_of as places_of
