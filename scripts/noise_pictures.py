"""The pictures of the kinds of error in docs/how-to/simulate-noise.md, from the packaged sample.

usage: python scripts/noise_pictures.py [docs/images/noise]

The clean mask is outlined in blue, the noisy one filled in orange. Kinds that take several objects,
classes or slices are shown on masks made of the sample's: two lesions beside each other; a lesion
whose core is a class of its own, in green; and a lesion that is as thick as it is wide, seen from
the side, a row of pixels for every slice.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, distance_transform_edt

from keras_robust.data import read_image, read_mask, sample
from keras_robust.noise import KINDS, MISTAKES, Kind, LabelNoise, kind_named

LESION, OTHER = "ISIC_0000141", "ISIC_0000172"
SIDE = 240  # pixels of a picture
SLICES = 16
BLUE, ORANGE, GREEN = (0, 114, 178), (230, 159, 0), (0, 158, 115)
BETA = {"grid": 0.25}
SEEDS = {"leak": 5, "object_added": 2, "cut": 4, "rotate": 1, "slices_shifted": 1}


def main(output: str = "docs/images/noise") -> None:
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    for name in KINDS + MISTAKES:
        picture(name).save(folder / f"{name}.png", optimize=True)


def picture(name: str) -> Image.Image:
    """One kind of error in one mask."""
    group = kind_named(name).group
    image, mask = lesion(LESION)
    if name == "grid":  # voxels that can be seen
        mask = mask[::8, ::8]
    if name == "object_missing":
        image, mask = (
            np.concatenate([one[:, ::2], two[:, ::2]], 1)
            for one, two in zip((image, mask), lesion(OTHER), strict=True)
        )
    if group == "Class":
        depth = distance_transform_edt(mask)
        mask = mask + (depth > 0.4 * depth.max())
    if group == "Slices":
        mask = as_volume(mask)
    planned = Kind(name)
    planned.source = OTHER
    noise = LabelNoise(alpha=1, beta=BETA.get(name, 0.4), seed=SEEDS.get(name, 0))
    noisy, done = noise.corrupt(mask, LESION, planned, lambda: lesion(OTHER)[1])
    if done.note:
        raise SystemExit(f"{name}: {done.note}")
    if group == "Slices":
        middle = mask.shape[1] // 2
        mask, noisy = mask[:, middle], noisy[:, middle]
        image = np.full((*mask.shape, 3), 235, np.uint8)
    return drawn(image, mask, noisy)


def lesion(id: str) -> tuple[np.ndarray, np.ndarray]:
    (case,) = sample().select(ids=[id])
    return read_image(case.image), read_mask(case.mask)


def as_volume(mask: np.ndarray) -> np.ndarray:
    """Slices of a body whose middle slice is the mask: the further out, the smaller."""
    depth = distance_transform_edt(mask)
    heights = np.linspace(-1.3, 1.3, SLICES)
    return np.stack([(depth > depth.max() * h * h) & (mask > 0) for h in heights]).astype(np.uint8)


def drawn(image: np.ndarray, clean: np.ndarray, noisy: np.ndarray) -> Image.Image:
    """The image under the noisy mask, filled, and the outline of the clean one."""
    canvas, clean, noisy = (enlarged(one) for one in (image, clean, noisy))
    canvas = canvas.astype(float)
    for label, colour in ((1, ORANGE), (2, GREEN)):
        canvas[noisy == label] = 0.45 * canvas[noisy == label] + 0.55 * np.array(colour)
    for label in (1, 2):
        own = clean == label if label == 2 else clean > 0
        outline = binary_dilation(own, iterations=2) & ~own
        canvas[outline] = BLUE
    return Image.fromarray(canvas.astype(np.uint8)).quantize(96, dither=Image.Dither.NONE)


def enlarged(array: np.ndarray) -> np.ndarray:
    method = Image.Resampling.BILINEAR if array.ndim == 3 else Image.Resampling.NEAREST
    return np.array(Image.fromarray(array).resize((SIDE, SIDE), method))


if __name__ == "__main__":
    main(*sys.argv[1:])
