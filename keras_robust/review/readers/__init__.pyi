from .adjudication import Opinion as Opinion
from .adjudication import disputes as disputes
from .adjudication import merged as merged
from .agreement import ReviewAgreement as ReviewAgreement
from .agreement import agreement as agreement
from .report import review_table as review_table
from .report import write_review_report as write_review_report
