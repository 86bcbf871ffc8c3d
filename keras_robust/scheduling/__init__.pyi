from .grid import BenchmarkConfig as BenchmarkConfig
from .grid import LossEntry as LossEntry
from .grid import PlannedRun as PlannedRun
from .records import RunRecord as RunRecord
from .records import find_runs as find_runs
from .records import read_status as read_status
from .scheduler import run_benchmark as run_benchmark
