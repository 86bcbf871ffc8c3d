"""Masks for property tests."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

BETAS = st.floats(0, 2.5) | st.sampled_from([0.3, 0.5, 0.7, 1.0])


@st.composite
def binary_masks(draw, ranks=(2, 3)):
    """Unions of a few boxes, or single voxels, or plain noise: thin, ragged and border-touching."""
    rank = draw(st.sampled_from(ranks))
    side = {2: 24, 3: 9}[rank]
    shape = tuple(draw(st.lists(st.integers(2, side), min_size=rank, max_size=rank)))
    if draw(st.integers(0, 3)) == 0:
        return draw(hnp.arrays(bool, shape))
    mask = np.zeros(shape, bool)
    for _ in range(draw(st.integers(0, 4))):
        box = []
        for length in shape:
            start = draw(st.integers(0, length - 1))
            box.append(slice(start, draw(st.integers(start + 1, length))))
        mask[tuple(box)] = True
    return mask


@st.composite
def label_maps(draw):
    """Up to four structures with gaps in their numbering."""
    mask = np.zeros(draw(binary_masks()).shape, np.uint8)
    for label in (1, 2, 5, 255):
        for _ in range(draw(st.integers(0, 2))):
            box = []
            for length in mask.shape:
                start = draw(st.integers(0, length - 1))
                box.append(slice(start, draw(st.integers(start + 1, length))))
            mask[tuple(box)] = label
    return mask


def disk(size, radius, centre=None):
    y, x = np.mgrid[:size, :size]
    cy, cx = centre or ((size - 1) / 2, (size - 1) / 2)
    return ((y - cy) ** 2 + (x - cx) ** 2 <= radius**2).astype(np.uint8)
