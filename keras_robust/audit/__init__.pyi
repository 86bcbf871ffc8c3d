from .folder import Audit as Audit
from .folder import AuditCase as AuditCase
from .folder import read_audit as read_audit
from .given_predictions import GivenPredictions as GivenPredictions
from .options import AuditOptions as AuditOptions
from .run import audit as audit
from .truth import Truth as Truth
from .truth import compare_with_truth as compare_with_truth
