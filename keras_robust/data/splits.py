"""Splitting images in two, or in folds, repeatably."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping

from keras_robust.common.errors import invalid

__all__ = ["folds", "split"]


def split(
    ids: Collection[str],
    fraction: float,
    seed: int = 0,
    stratify: Mapping[str, Hashable] | None = None,
    group: Mapping[str, Hashable] | None = None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split ids in two parts.

    The parts depend on the ids (not on their order), the seed and the strata alone, on every
    platform and version: ids are drawn in the order of a hash. Adding images moves few others.

    Args:
        ids: Distinct ids.
        fraction: Share of the first part, between 0 and 1, kept to within one id in total and
            in each stratum (as near as the groups allow).
        seed: Which of the possible splits.
        stratify: Stratum of every id; both parts get their share of each.
        group: Group of every id, such as a patient; no group is split up. A group belongs to
            the stratum that most of its ids have.

    Returns:
        Ids of the first part and of the second, each sorted.

    Raises:
        ValueError: A fraction out of range, repeated ids, ids without stratum or group, or too
            few to fill both parts.

    >>> train, test = split([f"case{i}" for i in range(10)], 0.7, seed=0)
    >>> len(train), len(test), set(train) & set(test)
    (7, 3, set())
    """
    if not 0 < fraction < 1:
        raise invalid("fraction", "0 < fraction < 1", said=f"fraction={fraction}")
    _check_ids(ids, stratify=stratify, group=group)
    units = _units(ids, group)
    if len(units) < 2:
        raise invalid(
            "group" if group else "ids",
            f"at least two {'groups' if group else 'ids'}, one for each part",
            said=f"{len(units)}",
        )
    strata: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for unit in sorted(units, key=lambda unit: _draw(seed, unit[0])):
        strata[_stratum(unit, stratify)].append(unit)
    first = _take(strata, fraction)
    if not first or len(first) == len(units):  # every stratum too small for its share
        everything = [unit for members in strata.values() for unit in members]
        everything.sort(key=lambda unit: _draw(seed, unit[0]))
        first = set(everything[:1] if not first else everything[:-1])
    chosen = {id for unit in first for id in unit}
    return tuple(sorted(chosen)), tuple(sorted(set(ids) - chosen))


def folds(
    ids: Collection[str],
    count: int,
    seed: int = 0,
    group: Mapping[str, Hashable] | None = None,
    stratify: Mapping[str, Hashable] | None = None,
) -> dict[str, int]:
    """Divide ids in folds of about the same size, for cross-validation.

    As for `split`, the folds depend on the ids, the seed, the groups and the strata alone.

    Args:
        ids: Distinct ids.
        count: Number of folds.
        seed: Which of the possible divisions.
        group: Group of every id, such as a patient; no group is divided. A group belongs to the
            stratum that most of its ids have.
        stratify: Stratum of every id; every fold gets its share of each.

    Returns:
        Fold of every id, 0 to count - 1. Sizes, in total and within each stratum, differ by one at
        most, or by the largest group.

    Raises:
        ValueError: Fewer than two folds, fewer ids or groups than folds, or ids without a group or
            stratum.

    >>> parts = folds([f"case{i}" for i in range(10)], 3)
    >>> sorted(list(parts.values()).count(fold) for fold in range(3))
    [3, 3, 4]
    """
    _check_ids(ids, group=group, stratify=stratify)
    units = _units(ids, group)
    what = "groups" if group is not None else "ids"
    if len(units) < 2 <= count:
        raise invalid(
            what, f"at least two {what} of images, one to leave out at a time", said=f"{len(units)}"
        )
    if not 2 <= count <= len(units):
        raise invalid(
            "count", f"2 to {len(units)} folds, the number of {what}", said=f"count={count}"
        )
    strata: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for unit in units:
        strata[_stratum(unit, stratify)].append(unit)
    sizes = [0] * count
    fold_of = {}
    for _, members in sorted(strata.items()):
        own = [0] * count
        # The largest first, each where there is most room, in its stratum and then in all.
        for unit in sorted(members, key=lambda unit: (-len(unit), _draw(seed, unit[0]))):
            fold = min(range(count), key=lambda fold: (own[fold], sizes[fold]))
            own[fold] += len(unit)
            sizes[fold] += len(unit)
            fold_of.update(dict.fromkeys(unit, fold))
    return dict(sorted(fold_of.items()))


def _stratum(unit: tuple[str, ...], stratify: Mapping[str, Hashable] | None) -> str:
    labels = Counter(str(stratify[id]) if stratify is not None else "" for id in unit)
    return max(sorted(labels), key=labels.__getitem__)


def _check_ids(ids: Collection[str], **mappings: Mapping[str, Hashable] | None) -> None:
    repeated = [id for id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise invalid("ids", "distinct ids", said=f"{repeated[:5]} more than once")
    for name, mapping in mappings.items():
        missing = [] if mapping is None else [id for id in ids if id not in mapping]
        if missing:
            raise invalid(
                name, "an entry for every id", said=f"none for {missing[:5]} (of {len(missing)})"
            )


def _take(strata: Mapping[str, list[tuple[str, ...]]], fraction: float) -> set[tuple[str, ...]]:
    """Units of the first part: each stratum its share, remainders to the largest."""
    sizes = {name: sum(map(len, members)) for name, members in strata.items()}
    wanted = {name: int(fraction * size + 1e-9) for name, size in sizes.items()}
    left = int(fraction * sum(sizes.values()) + 0.5 + 1e-9) - sum(wanted.values())
    by_remainder = sorted(sizes, key=lambda name: (wanted[name] - fraction * sizes[name], name))
    for name in by_remainder[:left]:
        wanted[name] += 1
    first = set()
    for name, members in strata.items():
        count = 0
        for unit in members:
            if abs(count + len(unit) - wanted[name]) < abs(count - wanted[name]):
                first.add(unit)
                count += len(unit)
    return first


def _units(ids: Collection[str], group: Mapping[str, Hashable] | None) -> list[tuple[str, ...]]:
    members: dict[Hashable, list[str]] = defaultdict(list)
    for id in sorted(ids):
        members[("group", group[id]) if group is not None else id].append(id)
    return [tuple(unit) for unit in members.values()]


def _draw(seed: int, id: str) -> bytes:
    # Salted, so that other draws by hash (as of noisy masks) are independent of this one.
    return hashlib.sha256(f"split:{seed}:{id}".encode()).digest()
