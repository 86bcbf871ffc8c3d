"""The reference mode against a second, literal telling of the published generator."""

import random

import numpy as np
import pytest
import scipy.ndimage
import skimage.transform

from keras_robust.noise import LabelNoise

from .strategies import disk


class Published:
    """The published generator for binary images, global state and all."""

    def __init__(self, beta, max_angle=30):
        self.beta, self.max_angle = beta, max_angle

    def run(self, masks, alpha):
        random.seed(0)
        files = sorted(f"{id}.png" for id in masks)
        drawn = [name.removesuffix(".png") for name in files]
        random.shuffle(drawn)
        noisy = drawn[: int(len(drawn) * alpha)]
        results = {}
        for id in (name.removesuffix(".png") for name in files):
            kind = "clean"
            result = masks[id]
            if id in noisy:
                kind = random.choice(["dilate", "erode", "affine"])
                result = getattr(self, kind)(masks[id])
            results[id] = kind, result
        return results

    def dilate(self, mask):
        return self._iterate(mask, scipy.ndimage.binary_dilation, +1, mask.size)

    def erode(self, mask):
        return self._iterate(mask, scipy.ndimage.binary_erosion, -1, 0)

    def _iterate(self, mask, step, sign, end):
        area = int(mask.sum())
        target = area + sign * int(area * self.beta)
        now = before = mask > 0
        while sign * int(now.sum()) < sign * target and now.sum() != end:
            now, before = step(now), now
        if now.sum() == end or abs(before.sum() - target) < abs(now.sum() - target):
            now = before
        return now.astype(np.uint8)

    def affine(self, mask):
        angle = random.uniform(-self.max_angle, self.max_angle)
        rotated = skimage.transform.rotate(mask.astype(float), angle).astype(np.uint8)
        down, right = random.choice(
            [(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, 1), (0, -1), (1, -1)]
        )
        low, high, tries = 0, 100, 0
        while low < high and tries < 20:
            tries += 1
            step = (low + high) // 2
            dy, dx = abs(step * down), abs(step * right)
            canvas = np.zeros((mask.shape[0] + dy, mask.shape[1] + dx), np.uint8)
            canvas[dy:, dx:] = rotated
            moved = canvas[: mask.shape[0], : mask.shape[1]]
            rate = (moved != mask).sum() / mask.sum()
            if rate > self.beta:
                high = step - 1
            elif rate < self.beta:
                low = step + 1
            else:
                break
        return moved


@pytest.fixture(scope="module")
def masks():
    generator = np.random.default_rng(0)
    made = {}
    for number in range(60):
        centre = generator.uniform(35, 60, 2)
        # names whose order differs with and without ".png"
        name = f"case{number // 2}" + ("-1" if number % 2 else "")
        made[name] = disk(96, generator.uniform(8, 25), tuple(centre))
    return made


@pytest.mark.parametrize("alpha", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("beta", [0.5, 0.7])
def test_equal_to_the_published_generator(masks, alpha, beta):
    expected = Published(beta).run(masks, alpha)
    noise = LabelNoise(alpha, beta, seed=0, mode="reference")
    noisy, log = noise.apply(list(masks.values()), list(masks))
    for id, got, done in zip(masks, noisy, log, strict=True):
        kind, result = expected[id]
        assert done.kind == kind
        np.testing.assert_array_equal(got, result)
        np.testing.assert_array_equal(done.apply(masks[id]), result)
    assert {done.kind for done in log} >= {"dilate", "erode", "affine"}


def test_order_of_corruption_does_not_matter(masks):
    noise = LabelNoise(0.7, 0.7, seed=0, mode="reference")
    plan = noise.plan(reversed(list(masks)))
    assert plan == noise.plan(masks)
    forward = {id: noise.corrupt(masks[id], id, plan[id]) for id in masks}
    for id in reversed(list(masks)):
        again, done = noise.corrupt(masks[id], id, plan[id])
        np.testing.assert_array_equal(again, forward[id][0])
        assert done == forward[id][1]


def test_shifts_go_down_and_right_only(masks):
    noise = LabelNoise(1.0, 0.7, mode="reference", kinds=("affine",))
    _, log = noise.apply(list(masks.values()), list(masks))
    shifts = [done.parameters["1"]["shift"] for done in log]
    assert min(min(shift) for shift in shifts) >= 0 and len(set(map(tuple, shifts))) > 10


def test_a_kind_without_a_plan_is_drawn_from_the_id():
    noise = LabelNoise(1.0, 0.7, mode="reference")
    mask = disk(64, 12)
    first, second = (noise.corrupt(mask, "a", "affine")[1] for _ in range(2))
    other = noise.corrupt(mask, "b", "affine")[1]
    assert first == second != other


def test_affine_of_a_volume_is_refused():
    with pytest.raises(ValueError, match="Use mode='unbiased' for volumes"):
        LabelNoise(1, 0.7, mode="reference").corrupt(np.ones((4, 4, 4), bool), "a", "affine")


def test_a_structure_that_would_be_lost_is_unchanged():
    mask = np.zeros((64, 64), np.uint8)
    mask[30, 30] = 1  # bilinear values below one are truncated to nothing
    noisy, done = LabelNoise(1, 0.7, mode="reference").corrupt(mask, "a", "affine")
    np.testing.assert_array_equal(noisy, mask)
    assert done.note.startswith("unchanged")
