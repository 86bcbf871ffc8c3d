"""Looking through a dataset for everything that would spoil training or evaluation."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Literal

import numpy as np

from keras_robust.common.opening import real_path
from keras_robust.common.progress import Progress
from keras_robust.data.cases import Case
from keras_robust.data.dataset import Dataset
from keras_robust.data.files.formats import exif_orientation
from keras_robust.data.files.grid import contradictions, geometry_problem, listed_mm, listed_size
from keras_robust.data.files.images import (
    UnreadableImageError,
    image_shape,
    read_image,
    values_of,
    volume_labels,
    white_is_foreground,
)
from keras_robust.data.files.names import name_problem, same_names
from keras_robust.data.files.volume_header import VolumeHeader, is_volume, read_header
from keras_robust.data.files.volumes import volume_parts
from keras_robust.data.layouts.registry import read_layout
from keras_robust.data.problems import Problem, Report

__all__ = ["verify"]


SUSPICIOUS_COMPRESSION = 100


@dataclass
class _Facts:
    """What one file showed: its problems, its size and the hash of its pixels."""

    problems: list[Problem] = field(default_factory=list)
    size: tuple[int, ...] | None = None
    header: VolumeHeader | None = None
    digest: str | None = None
    empty: bool = False


def verify(
    dataset: Dataset | str | os.PathLike[str],
    progress: Progress | None = None,
    workers: int | None = None,
) -> Report:
    """Every problem of every case of a dataset, at once.

    Errors are files that are missing, unreadable, truncated or outside the dataset folder; masks
    of another size than their image or with values that are no labels; masks of volumes whose
    spacing, axes or origin are not the image's; images with values that are not finite; rows given
    twice; and the same id, group or image (by its pixels) in two splits. Warnings are empty masks,
    one image or mask under several ids of one split, a spacing that is not that of the volume's
    header, a header that contradicts itself, volumes that unpack to more than a hundred times their
    size, and images that a viewer would turn (EXIF). Names that are no file names elsewhere are
    errors, too.

    Args:
        dataset: A dataset, or its folder.
        progress: Called with the number of files read and of files in total.
        workers: Threads; as many as there are processors by default.

    Returns:
        The report; its order depends on the dataset alone.

    Raises:
        FileNotFoundError: No such folder. What is wrong inside a folder is in the report.

    >>> from keras_robust.data import sample
    >>> verify(sample().select(split="test")).ok
    True
    """
    problems: list[Problem] = []
    if not isinstance(dataset, Dataset):
        path = dataset
        try:
            opened, problems = read_layout(path)
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            problems, opened = [Problem("error", "", "", "layout", str(error))], None
        if opened is None:
            return Report(str(path), 0, _sorted(problems))
        dataset = Dataset.of(opened)
    images = {case.channels: case for case in reversed(dataset.cases)}
    masks = {case.mask: case for case in reversed(dataset.cases) if case.mask is not None}
    total, done = len(images) + len(masks), 0

    def advance(facts: Iterable[_Facts]) -> Iterable[_Facts]:
        nonlocal done
        for fact in facts:
            done += 1
            if progress is not None:
                progress(done, total)
            yield fact

    pool = ThreadPoolExecutor(workers or min(os.cpu_count() or 1, 16))
    try:
        read = advance(pool.map(_look_at_image, images.values()))
        of_image = dict(zip(images, read, strict=True))
        read = advance(pool.map(_MaskReader(dataset), masks.values()))
        of_mask = dict(zip(masks, read, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C need not wait for the rest
    for facts in (*of_image.values(), *of_mask.values()):
        problems += facts.problems
    problems += _grid_problems(dataset, of_image, of_mask)
    problems += _group_problems(dataset)
    problems += _same_images(images, of_image)
    problems += _same_masks(dataset, of_mask)
    problems += _case_problems(dataset)
    return Report(str(dataset.root), len(dataset), _sorted(problems, dataset.root))


def _look_at_image(case: Case) -> _Facts:
    facts = _Facts()
    for path in case.channels:
        if not is_volume(path) and exif_orientation(path) not in (None, 1):
            message = "has an EXIF orientation, which is not applied; check that its mask fits"
            facts.problems.append(Problem("warning", case.id, str(path), "orientation", message))
    try:
        look = _look_at_voxels if all(map(is_volume, case.channels)) else _look_at_pixels
        bad = look(case, facts)
    except (OSError, ValueError) as error:
        facts.problems.append(_failure(case.id, case.image, error, "size"))
        return facts
    if bad:
        message = f"has {bad} value(s) that are not finite; replace them"
        facts.problems.append(Problem("error", case.id, str(case.image), "values", message))
    if is_volume(case.image):
        _look_at_grids(case, facts)
    return facts


def _look_at_pixels(case: Case, facts: _Facts) -> int:
    """Size and digest of an image, and how many of its values are not finite."""
    image = read_image(case.channels)
    facts.size, facts.digest = image.shape[:-1], _digest(image)
    return int(np.count_nonzero(~np.isfinite(image)))


def _look_at_voxels(case: Case, facts: _Facts) -> int:
    """As `_look_at_pixels`, of volumes, without holding all of one in memory."""
    sizes = {path: image_shape(path) for path in case.channels}
    if len(set(sizes.values())) > 1:
        read_image(case.channels)  # says what is wrong
    digest, bad = hashlib.blake2b(f"{sizes[case.image]}".encode(), digest_size=16), 0
    for path, size in sizes.items():
        for _, _, part in volume_parts(path):
            values = part.astype(np.float32)
            bad += int(np.count_nonzero(~np.isfinite(values)))
            digest.update(values.data)
        times = prod(size) * read_header(path).nifti.get_data_dtype().itemsize
        times //= max(1, path.stat().st_size)
        if times > SUSPICIOUS_COMPRESSION:
            message = f"unpacks to {times:,} times its size, as no image does; look at it"
            facts.problems.append(Problem("warning", case.id, str(path), "compression", message))
    facts.size, facts.digest = sizes[case.image], digest.hexdigest()
    return bad


def _look_at_grids(case: Case, facts: _Facts) -> None:
    """Whether the channels of a volume lie on one grid, of the spacing that the dataset says."""
    facts.header = header = read_header(case.image)
    for path in filter(is_volume, case.channels):
        own = read_header(path)
        facts.problems += _contradictions(case.id, path, own)
        found = geometry_problem(header, own)
        if found:
            message = f"differs from the first channel. {found[1]}"
            facts.problems.append(Problem("error", case.id, str(path), found[0], message))
    said = case.spacing or header.spacing_mm
    if len(said) != 3 or not np.allclose(said, header.spacing_mm, rtol=1e-3):
        message = (
            f"the dataset says {listed_mm(said)}, its header {listed_mm(header.spacing_mm)}; "
            "correct the one that is wrong"
        )
        facts.problems.append(Problem("warning", case.id, str(case.image), "spacing", message))


def _contradictions(id: str, path: Path, header: VolumeHeader) -> list[Problem]:
    return [Problem("warning", id, str(path), kind, text) for kind, text in contradictions(header)]


@dataclass(frozen=True)
class _MaskReader:
    dataset: Dataset

    def __call__(self, case: Case) -> _Facts:
        facts, path = _Facts(), case.mask
        if path is None:
            return facts
        soft = case.annotator in self.dataset.soft_annotators
        try:
            if is_volume(path) and not soft:
                self._look_at_labels(path, facts)
            else:
                mask = self.dataset.read_mask(case, anywhere=True)
                facts.size, facts.digest = mask.shape, _digest(mask)
                facts.empty = not np.any((mask != 0) & (mask != self.dataset.ignore_label))
        except (OSError, ValueError) as error:
            facts.problems.append(_failure(case.id, path, error, "values"))
            if not isinstance(error, (OSError, UnreadableImageError)) and not soft:
                facts.size = image_shape(path)
            return facts
        if is_volume(path):
            facts.header = read_header(path, channels=True)
            facts.problems += _contradictions(case.id, path, facts.header)
        if facts.empty:
            message = "has no foreground; keep it only if nothing is there to be drawn"
            if soft:
                message += ", and take its annotator out of `soft` if it holds labels"
            facts.problems.append(Problem("warning", case.id, str(path), "empty-mask", message))
        return facts

    def _look_at_labels(self, path: Path, facts: _Facts) -> None:
        """Size, digest and labels of a volume, without holding all of it in memory."""
        size = image_shape(path)
        digest, values = hashlib.blake2b(f"{size}".encode(), digest_size=16), set()
        for _, part in volume_labels(path):
            digest.update(part.astype(np.uint8).data)  # other labels are refused below
            values |= values_of(part)
        classes, ignore_label = self.dataset.classes, self.dataset.ignore_label
        white_is_foreground(path, values, classes, ignore_label)
        facts.size, facts.digest = size, digest.hexdigest()
        facts.empty = values <= {0, ignore_label}


def _failure(id: str, path: Path, error: Exception, otherwise: str) -> Problem:
    if isinstance(error, FileNotFoundError):
        message = "does not exist; restore it or correct the path"
        return Problem("error", id, str(path), "missing-file", message)
    if isinstance(error, UnreadableImageError):
        kind = "truncated" if error.truncated else "unreadable"
        message = f"does not decode ({error.reason}); restore it from its source"
        return Problem("error", id, str(error.path), kind, message)
    kind = "unreadable" if isinstance(error, OSError) else otherwise
    message = str(error).removeprefix("Invalid value for argument `path`. ")
    return Problem("error", id, str(path), kind, message)


def _grid_problems(
    dataset: Dataset, of_image: dict[tuple[Path, ...], _Facts], of_mask: dict[Path, _Facts]
) -> list[Problem]:
    problems = []
    for case in dataset.cases:
        if case.mask is None:
            continue
        image, mask = of_image[case.channels], of_mask[case.mask]
        if image.size and mask.size and image.size != mask.size:
            unit = "height x width" if len(image.size) == 2 else "size"
            message = (
                f"Expected the image's {unit}, {listed_size(image.size)}. "
                f"Received: {listed_size(mask.size)}. Export the mask on the image's grid."
            )
            problems.append(Problem("error", case.id, str(case.mask), "size", message))
        elif image.header and mask.header:
            found = geometry_problem(image.header, mask.header)
            if found:
                problems.append(Problem("error", case.id, str(case.mask), *found))
    return problems


def _group_problems(dataset: Dataset) -> list[Problem]:
    splits: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for case in dataset.cases:
        if case.group is not None and case.split:
            splits[case.group][case.split].append(case.id)
    problems = []
    for group, ids in splits.items():
        if len(ids) > 1:
            where = "; ".join(
                f"{name}: {_some(dict.fromkeys(i))}" for name, i in sorted(ids.items())
            )
            message = f"group {group!r} is in several splits ({where}); keep it in one"
            problems.append(Problem("error", "", "", "leak-group", message))
    return problems


def _same_images(
    images: dict[tuple[Path, ...], Case], of_image: dict[tuple[Path, ...], _Facts]
) -> list[Problem]:
    same: dict[str, list[Case]] = defaultdict(list)
    for channels, case in images.items():
        digest = of_image[channels].digest
        if digest is not None:
            same[digest].append(case)
    problems = []
    for cases in same.values():
        cases = sorted(cases, key=lambda case: case.id)
        splits = sorted({case.split for case in cases if case.split})
        if len(cases) > 1:
            names = _some([case.id for case in cases])
            first = cases[0]
            leak = len(splits) > 1
            message = (
                f"one image is in the splits {', '.join(splits)}, as {names}; keep one of them"
                if leak
                else f"one image has several ids: {names}; keep one of them"
            )
            kind = "leak-image" if leak else "duplicate-image"
            path = str(first.image)
            problems.append(Problem("error" if leak else "warning", first.id, path, kind, message))
    return problems


def _same_masks(dataset: Dataset, of_mask: dict[Path, _Facts]) -> list[Problem]:
    same: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in dataset.cases:
        facts = of_mask[case.mask] if case.mask is not None else None
        if facts is not None and facts.digest is not None and not facts.empty:
            same[case.annotator, facts.digest].append(case)
    problems = []
    for (annotator, _), cases in same.items():
        if len(cases) > 1:
            names = _some([case.id for case in cases])
            message = f"{annotator!r} has the very same mask for {names}; check the files"
            path = str(cases[0].mask)
            problems.append(Problem("warning", cases[0].id, path, "duplicate-mask", message))
    return problems


def _case_problems(dataset: Dataset) -> list[Problem]:
    """Names that some file systems cannot keep apart or hold; files linked from outside."""
    problems = []
    for id in dataset.ids:
        message = name_problem("id", id)
        if message:
            problems.append(Problem("error", id, "", "name", message))
    for kind, names in (("id", dataset.ids), ("annotator", dataset.annotators)):
        for name, other, same_text in same_names(names):
            id = name if kind == "id" else ""
            severity: Literal["error", "warning"] = "error" if same_text else "warning"
            how = "in how Unicode writes it" if same_text else "by its case"
            message = f"{kind} {name!a} differs from {other!a} {how} alone; rename one"
            problems.append(Problem(severity, id, "", "name", message))
    folders = [real_path(folder) for folder in (dataset.root, *dataset.sources)]
    for case in dataset.cases if dataset.layout != "manifest" else ():
        for path in (*case.channels, *([case.mask] if case.mask else [])):
            if path.is_symlink() and not any(real_path(path).is_relative_to(f) for f in folders):
                message = "is a link out of the dataset folder; it moves without the dataset"
                problems.append(Problem("warning", case.id, str(path), "outside", message))
    return problems


def _digest(array: np.ndarray) -> str:
    digest = hashlib.blake2b(f"{array.shape}{array.dtype}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _sorted(problems: Iterable[Problem], root: Path | None = None) -> tuple[Problem, ...]:
    """Errors first; paths from the dataset folder on."""

    def short(problem: Problem) -> Problem:
        path = Path(problem.path)
        if root is None or not problem.path or not path.is_relative_to(root):
            return problem
        relative = path.relative_to(root).as_posix()
        return Problem(problem.severity, problem.id, relative, problem.kind, problem.message)

    unique = dict.fromkeys(map(short, problems))
    key = lambda p: (p.severity, p.kind, p.id, p.path, p.message)  # noqa: E731
    return tuple(sorted(unique, key=key))
