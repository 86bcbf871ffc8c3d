import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.data import Part


@given(st.lists(st.integers(), max_size=20), st.integers(1, 8))
def test_parts_are_the_whole_and_share_nothing(pieces, count):
    parts = [Part(number, count).of(list(enumerate(pieces))) for number in range(1, count + 1)]
    assert sorted(piece for part in parts for piece in part) == list(enumerate(pieces))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_what_a_command_line_says():
    assert Part.parse(None) == Part(1, 1)
    assert str(Part.parse(" 2/4 ")) == "2/4"


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_what_is_no_part(text):
    with pytest.raises(ValueError, match="`part`.*1/4 to 4/4"):
        Part.parse(text)
