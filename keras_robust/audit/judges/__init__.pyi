from .pace import Pace as Pace
from .pace import measure as measure
from .recipe import judge_config as judge_config
from .recipe import with_plan as with_plan
from .recipe import with_steps as with_steps
