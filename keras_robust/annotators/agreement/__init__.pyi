from .measure import Agreement as Agreement
from .measure import measure_agreement as measure_agreement
from .report import write_agreement_report as write_agreement_report
