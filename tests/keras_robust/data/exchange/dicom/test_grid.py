"""Numbers in headers of DICOM files."""

import pytest

from keras_robust.data.exchange.dicom.grid import _numbers


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["1", "2.5", "-3"], (1.0, 2.5, -3.0)),
        (["1", "2"], None),
        (1.5, None),  # pydicom gives a single value as it is
        (None, None),
        (["1", "2", "nan"], None),
        (["1", "x", "3"], None),
    ],
)
def test_a_header_has_as_many_numbers_or_none(value, found):
    assert _numbers({"ImagePositionPatient": value}, "ImagePositionPatient", 3) == found
