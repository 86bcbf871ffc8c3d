import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.models.topology import plan_topology

# What nnU-Net v2 2.8.1 computes for these, first stride (all ones) left out.
NNUNET = [
    ((1, 1), (256, 256), (6, 6), [(2, 2)] * 6, [(3, 3)] * 7, (256, 256)),
    ((1, 1, 1), (128,) * 3, (5, 5, 5), [(2, 2, 2)] * 5, [(3, 3, 3)] * 6, (128,) * 3),
    (
        (5, 0.5, 0.5),
        (20, 320, 256),
        (2, 6, 6),
        [(1, 2, 2)] * 3 + [(2, 2, 2)] * 2 + [(1, 2, 2)],
        [(1, 3, 3)] * 3 + [(3, 3, 3)] * 4,
        (20, 320, 256),
    ),
    ((1, 1, 1), (35, 51, 35), (3, 3, 3), [(2, 2, 2)] * 3, [(3, 3, 3)] * 4, (40, 56, 40)),
    (
        (3, 0.78, 0.78),
        (40, 224, 192),
        (3, 5, 5),
        [(1, 2, 2)] + [(2, 2, 2)] * 3 + [(1, 2, 2)],
        [(1, 3, 3)] + [(3, 3, 3)] * 5,
        (40, 224, 192),
    ),
    ((1, 1, 1), (9, 9, 9), (1, 1, 1), [(2, 2, 2)], [(3, 3, 3)] * 2, (10, 10, 10)),
    (
        (2.5, 1, 1),
        (5, 100, 30),
        (0, 4, 3),
        [(1, 2, 2)] * 3 + [(1, 2, 1)],
        [(1, 3, 3)] + [(3, 3, 3)] * 4,
        (5, 112, 32),
    ),
    ((1, 1), (13, 300), (1, 5), [(2, 2)] + [(1, 2)] * 4, [(3, 3)] * 6, (14, 320)),
    ((1, 1, 1), (8, 12, 11), (1, 1, 1), [(2, 2, 2)], [(3, 3, 3)] * 2, (8, 12, 12)),
    (
        (1, 3, 1),
        (64, 20, 64),
        (4, 2, 4),
        [(2, 1, 2), (2, 2, 2), (2, 2, 2), (2, 1, 2)],
        [(3, 1, 3)] + [(3, 3, 3)] * 4,
        (64, 20, 64),
    ),
]


@pytest.mark.parametrize("spacing, patch, pools, strides, kernels, padded", NNUNET)
def test_equals_nnunet(spacing, patch, pools, strides, kernels, padded):
    found = plan_topology(spacing, patch)
    assert found.pools == pools
    assert list(found.strides) == strides
    assert list(found.kernels) == kernels
    assert found.patch == padded


@given(
    st.integers(2, 3).flatmap(
        lambda n: st.tuples(
            st.lists(st.floats(0.1, 10), min_size=n, max_size=n),
            st.lists(st.integers(1, 400), min_size=n, max_size=n),
        )
    )
)
def test_the_padded_patch_holds_the_wish_and_is_divided_by_the_strides(case):
    spacing, patch = case
    found = plan_topology(spacing, patch)
    for size, padded, pools in zip(patch, found.patch, found.pools, strict=True):
        assert padded >= size
        assert padded % 2**pools == 0
        assert padded < size + 2**pools
        assert pools == 0 or padded // 2**pools >= 4


def test_axes_may_be_exchanged():
    one, other = (
        plan_topology((3, 0.78, 0.78), (40, 224, 192)),
        plan_topology((0.78, 3, 0.78), (224, 40, 192)),
    )
    assert [s[1] for s in one.strides] == [s[0] for s in other.strides]
    assert [k[0] for k in one.kernels] == [k[1] for k in other.kernels]


@pytest.mark.parametrize(
    "spacing, patch", [((1, 1), (8, 8, 8)), ((1, 0), (8, 8)), ((1, 1), (8, 0))]
)
def test_impossible_values_are_named(spacing, patch):
    with pytest.raises(ValueError, match="Invalid value for argument `patch`"):
        plan_topology(spacing, patch)
