"""Datasets on disk: which image has which mask by which annotator in which split."""

import os
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.cases import Case, image_of, ordered
from keras_robust.data.files.grid import check_grid
from keras_robust.data.files.images import Order, Size, read_mask
from keras_robust.data.files.maps import above_half
from keras_robust.data.files.soft_masks import read_soft_mask
from keras_robust.data.layouts.registry import read_layout
from keras_robust.data.listing import Listing

__all__ = ["Dataset"]


@dataclass(frozen=True, repr=False)
class Dataset(Listing):
    """An immutable list of cases, ordered by id, then annotator.

    What it is made of, its cases, classes and annotators, are the fields of
    `keras_robust.data.listing.Listing`, as the layout of its folder lists them.

    >>> from keras_robust.data import sample_path
    >>> dataset = Dataset.open(sample_path())
    >>> dataset
    Dataset('sample', 115 cases, splits: test, train, annotators: isic_gt)
    >>> case = dataset.cases[0]
    >>> case.id, case.split, dataset.read_image(case).shape, dataset.read_mask(case).shape
    ('ISIC_0000013', 'train', (256, 256, 3), (256, 256))
    """

    @classmethod
    def of(cls, listing: Listing) -> "Dataset":
        """The dataset that a layout lists."""
        return cls(**{item.name: getattr(listing, item.name) for item in fields(Listing)})

    def __post_init__(self) -> None:
        object.__setattr__(self, "cases", ordered(self.cases))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Open a dataset folder; its layout is recognised.

        Args:
            path: A folder with manifest.csv, an nnU-Net raw folder, one in the official ISIC 2017
                or Shenzhen layout, one that pairs images with masks by their names, or one in a
                layout of your own, see `register_layout`.

        Returns:
            The dataset. Images and masks are not read yet, but for the headers of volumes, and
            the masks of a few where a manifest does not name the classes (`labels` in
            dataset.json).

        Raises:
            FileNotFoundError: No such folder.
            ValueError: No known layout, or one with errors, all of them named.
        """
        listing, problems = read_layout(path)
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors or listing is None:
            lines = "\n".join(f"- {problem}" for problem in errors[:10])
            more = f"\n- and {len(errors) - 10} more" if len(errors) > 10 else ""
            raise ValueError(
                f"Invalid value for argument `path`. Expected a dataset that can be read. "
                f"Received: path={str(path)!r} with {len(errors)} error(s):\n{lines}{more}\n"
                "Repair these; `keras-robust verify` shows the problems of the files as well."
            )
        return cls.of(listing)

    def select(
        self,
        *,
        annotator: str | None = None,
        split: str | None = None,
        ids: Collection[str] | None = None,
    ) -> "Dataset":
        """The cases that fit every condition given.

        Args:
            annotator: Name of one annotator.
            split: Name of one split; "" selects the cases without one.
            ids: Ids to keep.

        Raises:
            ValueError: The dataset does not know the annotator, the split or one of the ids.

        >>> from keras_robust.data import sample
        >>> len(sample().select(split="train", annotator="isic_gt"))
        80
        """
        if annotator is not None:
            _require("annotator", [annotator], self.annotators)
        if split is not None:
            _require("split", [split], {case.split for case in self.cases})
        cases = self.cases if ids is None else self._with_ids(ids)
        kept = tuple(
            case
            for case in cases
            if (annotator is None or case.annotator == annotator)
            and (split is None or case.split == split)
        )
        return replace(self, cases=kept)

    def _with_ids(self, ids: Collection[str]) -> Iterator[Case]:
        # Found by their order, since many call for one case after the other.
        starts = {id: bisect_left(self.cases, id, key=_id_of) for id in set(ids)}
        if any(start == len(self) or self.cases[start].id != id for id, start in starts.items()):
            _require("ids", starts, self.ids)
        for id, start in sorted(starts.items()):
            following = (self.cases[at] for at in range(start, len(self)))
            yield from takewhile(lambda case, id=id: case.id == id, following)  # type: ignore[misc]

    def read_image(self, case: Case, size: Size | None = None, *, order: Order = "C") -> NDArray:
        """The image of a case with all its channels: see `image_of`."""
        return image_of(case, size, order=order)

    def read_mask(
        self,
        case: Case,
        size: Size | None = None,
        *,
        anywhere: bool = False,
        order: Order = "C",
    ) -> NDArray[np.uint8]:
        """The mask of a case: see `keras_robust.data.read_mask`.

        A soft mask has the most probable label, the lowest of several.

        Args:
            case: With a mask.
            size: As in `keras_robust.data.read_mask`.
            anywhere: Read it also where it does not lie on the grid of its image.
            order: As in `keras_robust.data.read_mask`.

        Raises:
            ValueError: The case has no mask, or one of another size, spacing, orientation or
                origin than its image.
        """
        if not anywhere:
            check_grid(case.id, case.image, _mask_of(case))
        if case.annotator in self.soft_annotators:
            shares = read_soft_mask(_mask_of(case), size, self.classes)
            if self.classes > 2:
                return shares.argmax(axis=-1).astype(np.uint8)
            return above_half(shares).view(np.uint8)
        return read_mask(_mask_of(case), size, self.classes, self.ignore_label, order=order)

    def read_target(
        self, case: Case, size: Size | None = None
    ) -> NDArray[np.uint8] | NDArray[np.float32]:
        """What to train on: the labels of a case, or its probabilities where its mask is soft.

        Args:
            case: With a mask.
            size: As in `keras_robust.data.read_mask`; probabilities are interpolated linearly.

        Returns:
            Labels, uint8, of shape (H, W) or that of the volume, or probabilities, float32: see
            `keras_robust.data.read_soft_mask`.

        Raises:
            ValueError: As `read_mask`; also a soft mask that holds no probabilities.
        """
        if case.annotator not in self.soft_annotators:
            return self.read_mask(case, size)
        check_grid(case.id, case.image, _mask_of(case))
        return read_soft_mask(_mask_of(case), size, self.classes)

    @property
    def annotators(self) -> tuple[str, ...]:
        """Names of those who drew masks, sorted."""
        return tuple(sorted({case.annotator for case in self.cases if case.annotator}))

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, sorted."""
        return tuple(sorted({case.split for case in self.cases if case.split}))

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of the images, sorted, each once."""
        return tuple(dict.fromkeys(case.id for case in self.cases))

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    def __repr__(self) -> str:
        splits, annotators = ", ".join(self.splits) or "none", ", ".join(self.annotators) or "none"
        return (
            f"Dataset({self.name!r}, {len(self)} cases, splits: {splits}, annotators: {annotators})"
        )


def _id_of(case: Case) -> str:
    return case.id


def _mask_of(case: Case) -> Path:
    if case.mask is None:
        raise invalid(
            "case",
            "a case with a mask",
            said=f"case {case.id!r} without one",
            remedy="Select an annotator first.",
        )
    return case.mask


def _require(argument: str, wanted: Collection[str], known: Collection[str]) -> None:
    missing = sorted(set(wanted) - set(known))
    if missing:
        shown = sorted(known)
        choice = ", ".join(map(repr, shown[:20])) + (", ..." if len(shown) > 20 else "")
        raise invalid(
            argument,
            f"one of the dataset's: {choice or 'it has none'}",
            said=", ".join(map(repr, missing[:20])),
        )
