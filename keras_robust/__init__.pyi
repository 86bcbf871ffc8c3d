from . import data as data
from . import experiments as experiments
from . import inference as inference
from . import losses as losses
from . import metrics as metrics
from . import models as models
from . import noise as noise
from . import quality as quality
from . import training as training
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
