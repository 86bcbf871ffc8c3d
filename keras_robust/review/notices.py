"""What a session says to the reviewer about files."""

from collections.abc import Container

from keras_robust.common.words import failure
from keras_robust.review.log import ReviewLog

__all__ = ["brought_back", "damage", "explained", "unpublished"]


def damage(log: ReviewLog) -> list[str]:
    """That lines of a log are torn."""
    if not log.damaged:
        return []
    lines = ", ".join(map(str, log.damaged))
    return [
        f"Line(s) {lines} of {str(log.files.log)!r} were torn by a crash and are passed over; "
        "all others are there. Decide again where the last decision is missing."
    ]


def brought_back(log: ReviewLog, known: Container[str]) -> list[str]:
    """That painting is shown again which the dataset could not take."""
    back = [id for id in log.files.rescued() if id in known]
    if not back:
        return []
    return [
        f"What you painted on {', '.join(back[:5])}{' and others' * (len(back) > 5)} could not be "
        "saved in the data set when it was closed last. It was kept and is shown: go on with it, "
        "or choose Start over."
    ]


def unpublished(reason: OSError) -> str:
    """That masks which are in the log are not yet in the dataset."""
    return (
        f"Not all corrected masks are in the dataset yet. {'. '.join(failure(reason))} They will "
        "be there when it is opened again."
    )


def explained(reason: OSError, what: str) -> OSError:
    """An error of the system with what it was about, what is safe and what to do."""
    cause, remedy = failure(reason)
    message = f"{what}. {cause}. What you painted is still in the window. {remedy}"
    return OSError(reason.errno, message, reason.filename)
