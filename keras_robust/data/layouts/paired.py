"""Two official layouts that pair a folder of images with one of masks: ISIC 2017, Shenzhen."""

import re
from pathlib import Path

from keras_robust.data.cases import Case, ordered
from keras_robust.data.listing import Listing
from keras_robust.data.problems import Problem, error
from keras_robust.data.splits import split as split_ids

__all__ = ["read_isic2017", "read_shenzhen"]

# split: images, masks, as the official archives unpack
ISIC2017 = {
    "train": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
    "val": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
    "test": ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
}
ISIC_ANNOTATOR = "isic_gt"
SHENZHEN_ANNOTATOR = "stirenko2018_students"


def read_isic2017(root: Path) -> tuple[Listing, list[Problem]]:
    """Read ISIC 2017 part 1 as its archives unpack, any of its three splits.

    Superpixel and metadata files beside the images are passed over. A split whose ground truth
    is absent has images without masks, and a warning.
    """
    problems: list[Problem] = []
    cases: list[Case] = []
    for split, (images, masks) in ISIC2017.items():
        if not (root / images).is_dir():
            continue
        found = _matching(root / images, r"(ISIC_\d+)\.(?i:jpe?g)")
        drawn = _matching(root / masks, r"(ISIC_\d+)_[Ss]egmentation\.png")
        if not (root / masks).is_dir():
            message = f"its images have no masks; unpack {masks} beside it to use them"
            problems.append(Problem("warning", "", images, "missing-file", message))
        else:
            for id in sorted(set(found) - set(drawn)):
                message = f"has no mask {masks}/{id}_segmentation.png; unpack the archive again"
                problems.append(error("missing-file", message, id=id, path=images))
        cases += _paired(found, drawn, images, ISIC_ANNOTATOR, split, problems)
    if not cases:
        message = (
            f"Expected images ISIC_*.jpg in one of {', '.join(i for i, _ in ISIC2017.values())}"
        )
        problems.append(error("missing-file", message + ". Received: none."))
    by_id: dict[str, str] = {}
    for case in cases:
        if by_id.setdefault(case.id, case.split) != case.split:
            message = f"is in the splits {by_id[case.id]!r} and {case.split!r}; choose one"
            problems.append(error("leak-id", message, id=case.id))
    return Listing(root, root.resolve().name, 2, ordered(cases), "isic2017"), problems


def read_shenzhen(root: Path) -> tuple[Listing, list[Problem]]:
    """Read CXR_png/CHNCXR_0001_0.png and mask/CHNCXR_0001_0_mask.png.

    The last digit of a name, 1 for tuberculosis, is the column `tb`. Images with a mask are split
    70/30 into `train` and `test`, stratified by it, always in the same way; those without a mask
    (some 100 of the official 662) belong to no split.
    """
    problems: list[Problem] = []
    found = _matching(root / "CXR_png", r"(CHNCXR_\d+_[01])\.png")
    drawn = _matching(root / "mask", r"(CHNCXR_\d+_[01])_mask\.png")
    for folder, files in (("CXR_png", found), ("mask", drawn)):
        if not files:
            name = "CHNCXR_0001_0.png" if folder == "CXR_png" else "CHNCXR_0001_0_mask.png"
            message = f"Expected files like {name}. Received: none. Unpack them there."
            problems.append(error("missing-file", message, path=folder))
    both = sorted(set(found) & set(drawn))
    tuberculosis = {id: id[-1] for id in found}
    train = split_ids(both, 0.7, seed=0, stratify=tuberculosis)[0] if len(both) > 1 else both
    split = {id: "train" if id in set(train) else "test" for id in both}
    cases = [
        case
        for name in ("train", "test", "")
        for case in _paired(
            {id: path for id, path in found.items() if split.get(id, "") == name},
            {id: path for id, path in drawn.items() if split.get(id, "") == name},
            "CXR_png",
            SHENZHEN_ANNOTATOR,
            name,
            problems,
            tuberculosis,
        )
    ]
    return Listing(root, root.resolve().name, 2, ordered(cases), "shenzhen"), problems


def _paired(
    found: dict[str, Path],
    drawn: dict[str, Path],
    images: str,
    annotator: str,
    split: str,
    problems: list[Problem],
    tuberculosis: dict[str, str] | None = None,
) -> list[Case]:
    for id in sorted(set(drawn) - set(found)):
        message = f"has a mask, but no image in {images}; unpack the images again"
        problems.append(error("missing-file", message, id=id, path=drawn[id].name))
    return [
        Case(
            id=id,
            image=image,
            mask=drawn.get(id),
            annotator=annotator if id in drawn else "",
            split=split,
            extra={"tb": tuberculosis[id]} if tuberculosis else {},
        )
        for id, image in found.items()
    ]


def _matching(folder: Path, pattern: str) -> dict[str, Path]:
    """Files of a folder by the first group of `pattern`, sorted."""
    if (folder / folder.name).is_dir():  # as Windows unpacks archives
        folder = folder / folder.name
    if not folder.is_dir():
        return {}
    matches = ((re.fullmatch(pattern, path.name), path) for path in sorted(folder.iterdir()))
    return {match[1]: path for match, path in matches if match}
