"""What a file of two dimensions holds: its numbers as stored, and what they stand for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """The numbers of a picture, and what they stand for.

    Args:
        values: (H, W, C), as stored: indices where there is a palette.
        bits: Of each number.
        palette: (N, 3), uint8, the colour of each index.
        alpha: (H, W), transparency, which is left out of `values`.
    """

    values: NDArray
    bits: int
    palette: NDArray[np.uint8] | None = None
    alpha: NDArray | None = None

    def colours(self) -> NDArray:
        """(H, W, C) to show or to train on: uint8 up to 8 bits, float32 beyond.

        Fewer than 8 bits are spread over 0..255, as PNG says.

        >>> Picture(np.array([[[0], [1]]], np.uint8), bits=1).colours().ravel().tolist()
        [0, 255]
        """
        if self.palette is not None:
            table = np.zeros((256, 3), np.uint8)  # what a palette leaves out is black
            table[: len(self.palette)] = self.palette[:256]
            return table[self.values[..., 0]]
        if self.values.dtype != np.uint8:
            return self.values.astype(np.float32)
        return self.values * np.uint8(255 // self._white) if self.bits < 8 else self.values

    def brightness(self) -> NDArray[np.float32]:
        """(H, W), 0..1 from black to white: the mean of the colours; floats as they are.

        >>> Picture(np.array([[[0], [51]]], np.uint8), 8).brightness().tolist()
        [[0.0, 0.20000000298023224]]
        """
        colours = self.colours()
        deep = 1 if self.values.dtype.kind == "f" else self._white
        top = 255 if colours.dtype == np.uint8 else deep
        return colours.mean(axis=-1, dtype=np.float32) / np.float32(top)

    def labels(self, classes: int = 2, ignore_label: int | None = None) -> NDArray:
        """(H, W), whole numbers as the file means them; other channels than equal ones are refused.

        An index of a palette is the number of a class. Only where there are two classes, and the
        palette gives black and white for them, is it the colour that counts. Both are decided by
        all of the palette, never by the indices that this one mask happens to use.

        Args:
            classes: Of the dataset, background included.
            ignore_label: Of the dataset, a further value.

        Returns:
            Of two classes, white is 255 where it is not 1.

        Raises:
            ValueError: In colour; drawn in its transparency; a palette of white alone.

        >>> white_first = np.array([[255, 255, 255], [0, 0, 0]], np.uint8)
        >>> drawn = Picture(np.array([[[0], [1]]], np.uint8), 8, white_first)
        >>> drawn.labels(classes=2).tolist(), drawn.labels(classes=3).tolist()
        ([[1, 0]], [[0, 1]])
        """
        if self.palette is not None:
            return self._indexed(self.palette, classes, ignore_label)
        if (self.values != self.values[..., :1]).any():
            raise ValueError(
                f"in colour ({self.values.shape[-1]} channels that differ). Save label values in "
                "one channel"
            )
        values = self.values[..., 0]
        # A mask that is drawn in its transparency alone would be lost.
        if self.alpha is not None and np.ptp(self.alpha):
            if ((self.alpha > 0) != (values > 0)).any():
                raise ValueError(
                    "with another shape in its transparency than in its colours. Save label values "
                    "in one channel"
                )
        if classes == 2 and 1 < self.bits < 8:
            return np.where(values == self._white, 255, values)
        return values

    @property
    def _white(self) -> int:
        return 2**self.bits - 1

    def _indexed(
        self, palette: NDArray[np.uint8], classes: int, ignore_label: int | None
    ) -> NDArray:
        indices = self.values[..., 0]
        if classes != 2:
            return indices
        grey = len(palette) > 0 and not np.ptp(palette, axis=1).any()
        tones = palette[:, 0].tolist() if grey else []
        if set(tones) == {255}:
            raise ValueError(
                "with a palette of white alone, which may stand for all or nothing. Save label "
                "values in one channel"
            )
        if set(tones) == {0, 255}:
            drawn = np.zeros(256, np.uint8)
            drawn[: len(tones)] = np.equal(tones[:256], 255)
            return drawn[indices]
        if tones[:2] == [255, 0]:  # the other greys fill up a palette of black and white
            return np.where(indices < 2, 1 - indices, indices)
        if ignore_label != 255 and tones != list(range(256)) and (indices == 255).any():
            raise ValueError(
                "with the index 255, which is no class of two. State it as `ignore` in the labels "
                "of dataset.json, or save label values in one channel"
            )
        return indices
