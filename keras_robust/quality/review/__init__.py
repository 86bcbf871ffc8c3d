"""Reviewing masks: a queue, decisions that are never lost, corrected masks, agreement."""

from keras_robust.data.annotators import reviewers
from keras_robust.quality.review.agreement import ReviewAgreement, agreement
from keras_robust.quality.review.case import ReviewCase
from keras_robust.quality.review.decision import DECISIONS, Decision
from keras_robust.quality.review.log import ReviewLog, read_log
from keras_robust.quality.review.queue import STATUSES, QueueFilter, QueueItem, disagreement
from keras_robust.quality.review.reviewed import write_reviewed
from keras_robust.quality.review.session import ChangedFileError, ReviewSession

__all__ = [
    "DECISIONS",
    "STATUSES",
    "ChangedFileError",
    "Decision",
    "QueueFilter",
    "QueueItem",
    "ReviewAgreement",
    "ReviewCase",
    "ReviewLog",
    "ReviewSession",
    "agreement",
    "disagreement",
    "read_log",
    "reviewers",
    "write_reviewed",
]
