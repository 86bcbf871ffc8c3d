from . import annotators as annotators
from . import audit as audit
from . import data as data
from . import inference as inference
from . import losses as losses
from . import metrics as metrics
from . import models as models
from . import noise as noise
from . import planning as planning
from . import reports as reports
from . import review as review
from . import scheduling as scheduling
from . import studies as studies
from . import suspicion as suspicion
from . import training as training
from . import tuning as tuning
from .losses import CE as CE
from .losses import GCE as GCE
from .losses import MAE as MAE
from .losses import NCE as NCE
from .losses import NGCE as NGCE
from .losses import RCE as RCE
from .losses import SCE as SCE
from .losses import SVLS as SVLS
from .losses import Dice as Dice
from .losses import TLoss as TLoss

__version__: str
