"""Names that become names of files, on every system, and cells of spreadsheets."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_robust.data import verify
from keras_robust.data.files.names import name_problem


@pytest.mark.parametrize(
    "name",
    [
        "CON",
        "nul.png",
        "Com1",
        "lpt¹",
        "a.",
        "=1+1",
        "+a",
        "-1",
        "@a",
        "a\u202eb",
        "a\u200bb",
        "\uff1d1",
    ],
)
def test_what_is_no_file_name_elsewhere_is_refused(name):
    assert "rename it" in (name_problem("id", name) or "")


@given(st.text(string.ascii_letters + string.digits + "_ -.äßé", min_size=1, max_size=20))
def test_usual_names_are_fine(name):
    name = f"x{name.strip()}x"
    assert name_problem("id", name) is None


def test_two_unicode_forms_of_one_name_are_an_error(tmp_path, sample_image):
    rows = "".join(f"{id},a.png,,,train\n" for id in ("Caf\u00e9", "cafe\u0301", "caf\u00e9"))
    (tmp_path / "manifest.csv").write_text("id,image,mask,annotator,split\n" + rows, "utf-8")
    sample_image.save(tmp_path / "a.png")
    found = [(p.severity, p.id) for p in verify(tmp_path).problems if p.kind == "name"]
    assert found == [("error", "caf\u00e9"), ("warning", "cafe\u0301")]


@pytest.fixture
def sample_image():
    from PIL import Image

    return Image.new("L", (8, 8))
