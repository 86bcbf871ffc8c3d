from .label_quality import label_quality as label_quality
from .paired_tests import paired_tests as paired_tests
from .report import write_cross_validation_report as write_cross_validation_report
from .scores import read_scores as read_scores
