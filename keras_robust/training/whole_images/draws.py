"""Order and random numbers of the passes over images, as `tf.random` draws them, without it.

TensorFlow's stateless numbers are those of Philox 4x32-10, so that a run on any backend sees the
same images, in the same order, with the same augmentation.

Reference:
    [Salmon et al., 2011](https://doi.org/10.1145/2063384.2063405): Parallel random numbers: as easy
    as 1, 2, 3.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["draws_of_pass", "order_of_pass"]

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 10
_FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_SCRAMBLE = np.uint64(0x3EC8F720), np.uint64(0x02461E29)  # TensorFlow's, from seed to key
_MANTISSA, _ONE = np.uint64(0x7FFFFF), np.uint64(0x3F800000)  # of the float32 numbers from 1 to 2


def order_of_pass(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The images of a pass: `tf.random.experimental.stateless_shuffle`.

    >>> order_of_pass(5, 0, 0).tolist()
    [0, 2, 4, 3, 1]
    """
    order = np.arange(count)
    if count > 1:
        for place, word in enumerate(_words((seed, epoch), count - 1)):
            other = place + int(word) % (count - place)
            order[place], order[other] = order[other], order[place]
    return order


def draws_of_pass(count: int, numbers: int, seed: int, epoch: int) -> NDArray[np.float32]:
    """Uniform numbers `(count, numbers)` in [0, 1) for the images of a pass, by their position in
    the data set: `tf.random.stateless_uniform`.

    >>> draws_of_pass(1, 2, 0, 0).astype(float).round(3).tolist()
    [[0.383, 0.475]]
    """
    words = _words((seed, epoch + 2**40), count * numbers)
    bits = ((words & _MANTISSA) | _ONE).astype(np.uint32)
    return (bits.view(np.float32) - np.float32(1)).reshape(count, numbers)


def _words(seed: tuple[int, int], count: int) -> NDArray[np.uint64]:
    """So many random words of 32 bits."""
    first, second = np.array(seed, np.int64).astype(np.uint64)
    start = np.array([[first & _LOW, first >> _HALF, second & _LOW, second >> _HALF]])
    mixed = _philox(start, _SCRAMBLE)[0]
    number = np.arange(-(-count // 4), dtype=np.uint64)
    counters = np.stack(
        [number & _LOW, number >> _HALF, *(np.full_like(number, word) for word in mixed[2:])], 1
    )
    return _philox(counters, (mixed[0], mixed[1])).ravel()[:count]


def _philox(counters: NDArray[np.uint64], key: tuple[np.uint64, np.uint64]) -> NDArray[np.uint64]:
    """Four words for each counter of four words, `(n, 4)`."""
    a, b, c, d = counters.T
    first, second = key
    for _ in range(_ROUNDS):
        left, right = a * _FACTORS[0], c * _FACTORS[1]
        a, b = (right >> _HALF) ^ b ^ first, right & _LOW
        c, d = (left >> _HALF) ^ d ^ second, left & _LOW
        first, second = (first + _WEYL[0]) & _LOW, (second + _WEYL[1]) & _LOW
    return np.stack([a, b, c, d], axis=1)
