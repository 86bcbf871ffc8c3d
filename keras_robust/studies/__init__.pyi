from .crossval import write_cross_validation_report as write_cross_validation_report
from .protocol import Protocol as Protocol
from .protocol import ProtocolProgress as ProtocolProgress
from .protocol import ProtocolResult as ProtocolResult
from .protocol import run_protocol as run_protocol
from .report import write_report as write_report
from .statistics import SettingTest as SettingTest
from .statistics import compare as compare
