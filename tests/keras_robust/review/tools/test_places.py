"""Places where two masks part."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_robust.review.tools.places import differing

shapes = st.one_of(st.tuples(*[st.integers(1, 8)] * n) for n in (2, 3))


@settings(max_examples=60, deadline=None)
@given(st.data(), shapes)
def test_every_place_is_one_where_they_differ(data, shape):
    pair = arrays(np.uint8, shape, elements=st.integers(0, 2))
    mask, model = data.draw(pair), data.draw(pair)
    places = differing(mask, model)
    assert bool(places) == (not np.array_equal(mask, model))
    for place in places:
        assert mask[place.point] != model[place.point]
        assert all(a <= n < b for n, (a, b) in zip(place.point, place.box, strict=True))
        assert 0 < place.volume <= np.prod([b - a for a, b in place.box])
        assert place.label in (mask[place.point], model[place.point]) or place.volume > 1
    alike = differing(np.asfortranarray(mask), np.asfortranarray(model))
    if len(places) < 20:  # else equal ones may have been left out
        assert {(p.box, p.kind, p.label) for p in alike} == {
            (p.box, p.kind, p.label) for p in places
        }


def test_a_piece_comes_before_a_rim_and_opens_at_its_largest_slice():
    mask, model = np.zeros((2, 20, 40, 40), np.uint8)
    model[:, 5:35, 5:35] = 1
    mask[:, 6:35, 5:35] = 1  # a rim of one voxel in all slices, 600 voxels
    mask[8:12, 20:30, 10:20], mask[9, 20:32, 10:22] = 2, 2  # 300 + 144 voxels of another class
    first, *rest = differing(mask, model, (5.0, 1.0, 1.0))
    assert first.kind == "wrong class" and first.label == 2 and first.point[0] == 9
    assert first.volume == 444 * 5 and not rest
    assert [place.kind for place in differing(mask[:1], model[:1])] == ["missing"]
