from .crossval import write_cross_validation_report as write_cross_validation_report
from .demo_report import write_demo_report as write_demo_report
from .report import write_report as write_report
from .statistics import SettingTest as SettingTest
from .statistics import compare as compare
