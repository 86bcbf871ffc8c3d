"""Which annotators of a dataset drew masks, and which a program made of others' masks."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from keras_robust.common.errors import invalid
from keras_robust.data.dataset import Dataset

__all__ = [
    "CONSENSUS_JOURNAL",
    "JOURNAL",
    "MIXTURE_JOURNAL",
    "REFINED_JOURNAL",
    "REVIEWED",
    "REVIEWS",
    "REVIEW_LOG",
    "clean_annotator",
    "match_annotators",
    "reviewers",
    "simulated_annotators",
    "source_annotators",
]

JOURNAL = "simulation.jsonl"  # beside the masks of every simulated annotator
CONSENSUS_JOURNAL = "consensus.jsonl"  # beside those of a consensus
MIXTURE_JOURNAL = "mixture.jsonl"  # beside those drawn from several annotators
REFINED_JOURNAL = "refined.jsonl"  # beside those that an audit has changed
REVIEWS, REVIEW_LOG = "reviews", "review.jsonl"  # REVIEWS/REVIEWER/REVIEW_LOG
REVIEWED = "-reviewed"  # ends the name of an annotator who has the masks that a reviewer approved
PREFIX = "noisy"


def simulated_annotators(dataset: Dataset) -> tuple[str, ...]:
    """The annotators whose masks `simulate_dataset` wrote, or whose name starts with `noisy`.

    >>> from keras_robust.data import sample
    >>> simulated_annotators(sample())
    ()
    """
    journals = _with_journal(dataset, JOURNAL)
    return tuple(n for n in dataset.annotators if n in journals or n.startswith(PREFIX))


def clean_annotator(dataset: Dataset, annotator: str | None = None) -> str | None:
    """The annotator to measure against: `annotator`, unless it is simulated or the targets of a
    refined training; else the only one that is neither. `None` where there is no such one, or more
    than one.

    >>> from keras_robust.data import sample
    >>> clean_annotator(sample())
    'isic_gt'
    """
    made = {*simulated_annotators(dataset), *_with_journal(dataset, REFINED_JOURNAL)}
    drawn = [name for name in dataset.annotators if name not in made]
    if annotator in drawn:
        return annotator
    return drawn[0] if len(drawn) == 1 else None


def match_annotators(dataset: Dataset, patterns: Sequence[str] = ()) -> dict[str, tuple[str, ...]]:
    """Annotators by the name or pattern that selects them; each under the first that does.

    Args:
        dataset: The dataset.
        patterns: Names, or patterns with `*`, `?` and `[...]`. Without any, all who drew masks on
            their own: neither simulated annotators, nor a consensus or mixture of others, nor the
            corrections and the result of a review.

    Returns:
        A group of names per pattern, in the order given; "all" without patterns.

    Raises:
        ValueError: A pattern that selects nobody.

    >>> from keras_robust.data import sample
    >>> match_annotators(sample()), match_annotators(sample(), ["isic*"])
    ({'all': ('isic_gt',)}, {'isic*': ('isic_gt',)})
    """
    if not patterns:
        made = {*simulated_annotators(dataset), *reviewers(dataset.root)}
        for journal in (CONSENSUS_JOURNAL, MIXTURE_JOURNAL, REFINED_JOURNAL):
            made |= _with_journal(dataset, journal)
        drew = [name for name in dataset.annotators if name not in made]
        return {"all": tuple(name for name in drew if not name.endswith(REVIEWED))}
    groups: dict[str, tuple[str, ...]] = {}
    taken: set[str] = set()
    for pattern in dict.fromkeys(patterns):
        found = [name for name in dataset.annotators if fnmatchcase(name, pattern)]
        if not found:
            raise invalid(
                "annotators",
                (
                    "names of the dataset's annotators, or patterns such as 'expert_*': "
                    f"{', '.join(dataset.annotators)}"
                ),
                said=f"{pattern!r}, which is none",
            )
        groups[pattern] = tuple(name for name in found if name not in taken)
        taken.update(found)
    return {pattern: names for pattern, names in groups.items() if names}


def reviewers(home: Path) -> tuple[str, ...]:
    """Those who have a review log in a dataset folder, sorted."""
    return tuple(sorted(path.parent.name for path in (home / REVIEWS).glob(f"*/{REVIEW_LOG}")))


def source_annotators(dataset: Dataset, patterns: Sequence[str], name: str) -> list[str]:
    """The annotators that a new one called `name` is made of; see `match_annotators`.

    Raises:
        ValueError: A pattern selects nobody, `name` is one of them, or one has soft masks.
    """
    chosen = [found for group in match_annotators(dataset, patterns).values() for found in group]
    if name in chosen:
        raise invalid(
            "name", "a name other than those it is made of", name, "Originals are never written to."
        )
    soft = sorted({*chosen} & {*dataset.soft_annotators})
    if soft:
        raise invalid(
            "annotators",
            "annotators who drew labels",
            said=f"{', '.join(soft)}, whose masks are probabilities",
            remedy="Leave them out.",
        )
    return chosen


def _with_journal(dataset: Dataset, journal: str) -> set[str]:
    homes = {(case.annotator, case.mask.parent) for case in dataset if case.mask}
    return {name for name, folder in homes if (folder / journal).is_file()}
