"""Tables that spreadsheets show and do not compute."""

import csv
import io

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.common.tables import FORMULA, as_text, frame_csv, from_text, rows_csv

CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=6
) | st.sampled_from(["=1+1", "-0.5", "+a", "@b", "\t=2", "＝3", "'=4"])


def _computes(cell):
    if not cell.startswith(FORMULA):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


@given(st.lists(CELLS, min_size=1, max_size=5))
def test_no_cell_is_computed(cells):
    written = rows_csv(["a"], [{"a": cell} for cell in cells])
    assert not any(_computes(cell) for row in csv.reader(io.StringIO(written)) for cell in row)
    frame = pd.DataFrame({"=n": [1.0] * len(cells), "a": cells}, index=cells)
    rows = csv.reader(io.StringIO(frame_csv(frame)))
    assert not any(_computes(cell) for row in rows for cell in row)


@given(CELLS)
def test_what_is_written_is_read(cell):
    assert from_text(as_text(cell)) == (cell if not cell.startswith("'") else from_text(cell))


def test_numbers_stay():
    assert frame_csv(pd.DataFrame({"a": [-1.5, 2.0]}), index=False) == "a\n-1.5\n2.0\n"
