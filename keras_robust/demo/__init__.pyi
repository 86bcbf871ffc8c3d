from .report import demo_picture as demo_picture
from .report import write_demo_report as write_demo_report
from .run import Demo as Demo
from .run import DemoSettings as DemoSettings
from .run import run_demo as run_demo
