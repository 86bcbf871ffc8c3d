"""Which masks of a dataset are suspicious, and why, on NumPy arrays."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "audit_folder": ["Audit", "AuditCase", "read_audit"],
        "consensus": ["Staple", "majority", "soft_consensus", "staple"],
        "consensus_writing": ["write_consensus"],
        "detection": ["auroc", "average_precision", "precision_at_k", "spearman"],
        "error_map": ["error_map"],
        "judged": ["Judged"],
        "kinds": ["KINDS"],
        "review": ["ReviewSession", "agreement", "disagreement", "read_log", "write_reviewed"],
        "scoring": ["SCORES", "ClassFigures", "Suspicion", "score_masks"],
    },
)
