"""Random draws that depend on a seed and the id of an image alone."""

import hashlib

import numpy as np


def generator_of(seed: int, id: str, *stream: int) -> np.random.Generator:
    """The generator of one image; streams are independent of each other."""
    # Python's own hash of text differs from process to process.
    words = np.frombuffer(hashlib.sha256(id.encode()).digest(), "<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence([seed, *words], spawn_key=stream))


def unit_vector(generator: np.random.Generator, rank: int) -> np.ndarray:
    """A direction, uniform over the sphere."""
    vector = generator.normal(size=rank)
    return vector / np.linalg.norm(vector)
