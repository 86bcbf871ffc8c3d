"""Whether a mask lies where its volume lies."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from keras_robust.data.files.images import image_shape
from keras_robust.data.files.volume_header import VolumeHeader, is_volume, read_header

__all__ = ["check_channels", "check_grid", "geometry_problem", "listed_mm", "listed_size"]

TOLERANCE = 0.05  # of a voxel; affines are stored in float32 and rounded by many programs


def check_grid(id: str, image: Path, mask: Path) -> None:
    """Refuse a mask that does not lie on the grid of its image, by what their headers say.

    A file that cannot be read passes: whoever reads it tells of it.

    Raises:
        ValueError: Another size, spacing, orientation or origin.
    """
    ours = theirs = None
    try:
        if is_volume(image) and is_volume(mask):
            ours, theirs = read_header(image), read_header(mask, channels=True)
            expected, received = ours.shape, theirs.shape
        else:
            expected, received = image_shape(image), image_shape(mask)
    except (OSError, ValueError):
        return
    # A walrus would stop TensorFlow's AutoGraph, which reads along where input pipelines are built.
    found = geometry_problem(ours, theirs) if ours and theirs and expected == received else None
    if expected != received:
        problem = (
            f"Expected the image's size, {listed_size(expected)}. Received: "
            f"{listed_size(received)}. Export the mask on the image's grid."
        )
    elif found:
        problem = found[1]
    else:
        return
    raise ValueError(
        f"Invalid mask of case {id!r}, {str(mask)!r}. {problem} `keras-robust verify` lists all "
        "such masks."
    )


def check_channels(id: str, channels: Sequence[Path]) -> None:
    """Refuse channels of a volume that do not lie on the grid of the first, as `check_grid`."""
    if len(channels) == 1 or not all(map(is_volume, channels)):
        return
    try:
        headers = [read_header(path) for path in channels]
    except (OSError, ValueError):
        return
    for path, header in list(zip(channels, headers, strict=True))[1:]:
        found = geometry_problem(headers[0], header) if headers[0].shape == header.shape else None
        if found:
            raise ValueError(
                f"Invalid channel of case {id!r}, {str(path)!r}, which differs from the first in "
                f"{found[0]}. {found[1]} `keras-robust verify` lists all such files."
            )


def geometry_problem(image: VolumeHeader, mask: VolumeHeader) -> tuple[str, str] | None:
    """What differs in the geometry of two volumes of one shape.

    Arrays are compared and trained on as stored, so that a mask on other axes would be read
    mirrored or turned against its image.

    Args:
        image: Header of the image.
        mask: Header of the mask.

    Returns:
        "spacing", "orientation" or "origin", and a sentence; `None` where no corner of the two
        grids is further apart than a twentieth of a voxel. Where one of the headers does not say
        how its axes lie, only the spacing is compared.
    """
    ours, theirs = np.array(image.spacing_mm), np.array(mask.spacing_mm)
    reach = TOLERANCE * ours / np.maximum(np.array(image.shape) - 1, 1)
    if (np.abs(ours - theirs) > reach).any():
        return "spacing", (
            f"Expected the image's spacing, {listed_mm(ours)}. Received: {listed_mm(theirs)}. "
            "Export the mask on the image's grid, or correct the header that is wrong."
        )
    if not (image.oriented and mask.oriented):
        return None
    far = [
        np.linalg.norm((image.affine_mm - mask.affine_mm)[:3, :3] @ corner)
        for corner in itertools.product(*((0, n - 1) for n in image.shape))
    ]
    if max(far) > TOLERANCE * ours.min():
        return "orientation", (
            f"Expected the image's axes. Received: {_turn(image, mask)}, so that the mask would be "
            "read mirrored or turned. Export the mask on the image's grid."
        )
    between = mask.affine_mm[:3, 3] - image.affine_mm[:3, 3]
    if np.linalg.norm(between) > TOLERANCE * ours.min():
        return "origin", (
            "Expected the image's origin. Received: one that lies "
            f"{np.linalg.norm(between):.4g} mm from it. Export the mask on the image's grid, or "
            "correct the header that is wrong."
        )
    return None


def listed_size(size: Iterable[int]) -> str:
    """A size for people.

    >>> listed_size((512, 256))
    '512 x 256'
    """
    return " x ".join(map(str, size))


def listed_mm(spacing) -> str:
    """A spacing for people.

    >>> listed_mm((0.5, 0.5, 2.0))
    '0.5 x 0.5 x 2 mm'
    """
    return " x ".join(f"{value:.6g}" for value in spacing) + " mm"


def _turn(image: VolumeHeader, mask: VolumeHeader) -> str:
    """The directions of the axes, LAS for to the left, to the front, to the head; or an angle."""
    from nibabel.orientations import aff2axcodes

    ours, theirs = ("".join(map(str, aff2axcodes(header.affine))) for header in (image, mask))
    if ours != theirs:
        return f"{theirs} instead of {ours}"
    axes, others = (
        header.affine[:3, :3] / np.linalg.norm(header.affine[:3, :3], axis=0)
        for header in (image, mask)
    )
    cosines = np.clip((axes * others).sum(axis=0), -1, 1)
    return f"axes turned by {np.degrees(np.arccos(cosines)).max():.3g} degrees"
