"""Whether a mask lies where its volume lies: one rule, for every reader."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_robust.common.errors import invalid
from keras_robust.data.files.images import image_shape
from keras_robust.data.files.volume_header import VolumeHeader, is_volume, read_header

__all__ = [
    "TOLERANCE",
    "check_channels",
    "check_grid",
    "check_prediction",
    "contradictions",
    "elements_apart",
    "files_apart",
    "geometry_problem",
    "listed_mm",
    "listed_size",
]

TOLERANCE = 0.05  # of a voxel; affines are stored in float32 and rounded by many programs


def elements_apart(shape: Sequence[int], ours: ArrayLike, theirs: ArrayLike) -> float:
    """How far two grids of one shape lie apart: the greatest distance between elements of the
    same index, along any axis, in elements of the first grid.

    Grids lie on each other where this is at most `TOLERANCE`.

    Args:
        shape: Of both; an axis of one element counts as two, so that its spacing counts.
        ours, theirs: Affines (N + 1, N + 1) from indices to one world.

    >>> elements_apart((4, 4), np.diag([2, 2, 1]), [[2, 0, 1], [0, 2, 0], [0, 0, 1]])
    0.5
    """
    corners = np.array([*itertools.product(*((0, max(n - 1, 1)) for n in shape), (1,))], float).T
    ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
    # Of affine maps no element lies further apart than the corners.
    return float(np.abs(np.linalg.solve(ours, (theirs - ours) @ corners)[:-1]).max())


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
        "spacing", "orientation" or "origin", and a sentence; `None` where the two lie on each
        other, see `elements_apart`. Where one of the headers does not say how its axes lie, only
        the spacing is compared.
    """
    shape = image.shape
    spacings = [np.diag([*header.spacing_mm, 1.0]) for header in (image, mask)]
    placed = image.oriented and mask.oriented
    affines = [image.affine_mm, mask.affine_mm] if placed else spacings
    if elements_apart(shape, *affines) <= TOLERANCE:
        return None
    if elements_apart(shape, *spacings) > TOLERANCE:
        return "spacing", (
            f"Expected the image's spacing, {listed_mm(image.spacing_mm)}. Received: "
            f"{listed_mm(mask.spacing_mm)}. Export the mask on the image's grid, or correct the "
            "header that is wrong."
        )
    ours, theirs = affines
    turned = theirs.copy()
    turned[:3, 3] = ours[:3, 3]
    if elements_apart(shape, ours, turned) > TOLERANCE:
        return "orientation", (
            f"Expected the image's axes. Received: {_turn(image, mask)}, so that the mask would be "
            "read mirrored or turned. Export the mask on the image's grid."
        )
    return "origin", (
        "Expected the image's origin. Received: one that lies "
        f"{np.linalg.norm(theirs[:3, 3] - ours[:3, 3]):.4g} mm from it. Export the mask on the "
        "image's grid, or correct the header that is wrong."
    )


def contradictions(header: VolumeHeader) -> list[tuple[str, str]]:
    """What one header says in two ways, of which each program takes another.

    Returns:
        "spacing" or "orientation", and a sentence, for each contradiction: the sform has other
        lengths than pixdim; or sform and qform lay the axes along others of the world, or, where
        they claim to be of one space, lie apart.
    """
    nifti, found = header.nifti, []
    if nifti["sform_code"] == 0:
        return []
    sform, pixdim = nifti.get_sform(), nifti["pixdim"][1:4].astype(float)
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    both = " and qform" if nifti["qform_code"] > 0 else ""
    if elements_apart(header.shape, np.diag([*pixdim, 1]), np.diag([*lengths, 1])) > TOLERANCE:
        unit = header.spacing_mm[0] / pixdim[0]
        told = (
            f"its sform says {listed_mm(lengths * unit)}, its pixdim{both} "
            f"{listed_mm(pixdim * unit)}, which is taken, as ITK and nnU-Net do; correct the "
            "header, or write the spacing into a manifest"
        )
        found.append(("spacing", told))
    try:
        qform = nifti.get_qform() if both else sform
    except ValueError:  # of quaternions that are none
        return [*found, ("orientation", "its qform is no rotation; the sform is taken; correct it")]
    sform[:3, :3] *= pixdim / lengths  # a qform has no lengths of its own
    axes = [_axes(form) for form in (sform, qform)]
    one_space = both and nifti["sform_code"] == nifti["qform_code"]
    if axes[0] != axes[1]:
        told = f"its sform lays the axes towards {axes[0]}, its qform towards {axes[1]}"
    elif one_space and elements_apart(header.shape, sform, qform) > TOLERANCE:
        told = "its sform and its qform claim to be of one space and lie apart"
    else:
        return found
    advice = "programs differ in which they take, the sform is taken here; correct the header"
    return [*found, ("orientation", f"{told}: {advice}")]


def files_apart(image: Path, mask: Path) -> tuple[str, str] | None:
    """`geometry_problem` of two files; `None` unless both are volumes of one size.

    Raises:
        FileNotFoundError: One is missing.
        UnreadableImageError: One is damaged (a ValueError).
    """
    if not (is_volume(image) and is_volume(mask)):
        return None
    ours, theirs = read_header(image, channels=True), read_header(mask, channels=True)
    return geometry_problem(ours, theirs) if ours.shape == theirs.shape else None


def check_prediction(own: Path, prediction: Path) -> None:
    """Refuse a prediction that does not lie where the image or mask of its case lies.

    Raises:
        ValueError: Another spacing, orientation or origin.
        OSError, UnreadableImageError: A file is missing or damaged.
    """
    found = files_apart(own, prediction)
    if found:
        raise invalid(
            "predictions",
            "volumes that lie where the dataset's lie",
            said=f"{str(prediction)!r}, which differs in {found[0]}",
            remedy=found[1].replace("mask", "prediction"),
        )


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


def _axes(affine: NDArray[np.float64]) -> str:
    """The directions of the axes, LAS for to the left, to the front, to the head."""
    from nibabel.orientations import aff2axcodes

    return "".join(map(str, aff2axcodes(affine)))


def _turn(image: VolumeHeader, mask: VolumeHeader) -> str:
    """The directions of the axes; or an angle."""
    ours, theirs = _axes(image.affine), _axes(mask.affine)
    if ours != theirs:
        return f"{theirs} instead of {ours}"
    axes, others = (
        header.affine[:3, :3] / np.linalg.norm(header.affine[:3, :3], axis=0)
        for header in (image, mask)
    )
    cosines = np.clip((axes * others).sum(axis=0), -1, 1)
    return f"axes turned by {np.degrees(np.arccos(cosines)).max():.3g} degrees"
