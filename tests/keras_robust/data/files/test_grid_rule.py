"""One rule where a volume lies, and headers that say one thing in two ways."""

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_robust.data import Case, Dataset, verify
from keras_robust.data.files.grid import (
    TOLERANCE,
    check_grid,
    check_prediction,
    contradictions,
    elements_apart,
    files_apart,
)
from keras_robust.data.files.volume_header import read_header
from keras_robust.review.case import read_case
from keras_robust.review.files import _grid

SHAPE = (4, 5, 6)
LAS = np.diag([-1.3, 1.3, 10, 1])


def save(path, affine=None, *, qform=None, codes=(1, 1), pixdim=None, shape=SHAPE, unit="mm"):
    """A volume whose sform is `affine` and whose qform is `qform`; `None` leaves one out."""
    image = nibabel.Nifti1Image(np.zeros(shape, np.uint8), None)
    image.header.set_xyzt_units(unit)
    if qform is not None:
        image.header.set_qform(qform, codes[0])
    if affine is not None:
        image.header.set_sform(affine, codes[1])
        if qform is None:
            image.header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
    if pixdim is not None:
        image.header.set_zooms(pixdim)
    image.to_filename(path)
    return path


@settings(deadline=None, max_examples=30)
@given(
    spacing=st.tuples(*[st.sampled_from([0.005, 0.7, 1.0, 10.0])] * 3),
    axis=st.integers(0, 2),
    part=st.sampled_from([0.0, 0.02, 0.04, 0.06, 0.2, 3.0]),
)
def test_every_reader_has_the_same_rule(tmp_path_factory, spacing, axis, part):
    """The origin of the mask is off by a part of a voxel: up to a twentieth it fits."""
    folder = tmp_path_factory.mktemp("pair")
    ours = np.diag([*spacing, 1.0])
    theirs = ours.copy()
    theirs[axis, 3] = part * spacing[axis]
    image, mask = save(folder / "i.nii", ours), save(folder / "m.nii", theirs)
    (folder / "manifest.csv").write_text("id,image,mask,annotator,split\na,i.nii,m.nii,x,\n")
    dataset, case = Dataset.open(folder), Case("a", image, mask, "x", "")
    fits = part <= TOLERANCE
    assert elements_apart(SHAPE, ours, theirs) == pytest.approx(part, abs=1e-4)
    assert (files_apart(image, mask) is None) is fits
    assert any("lies elsewhere" in text for text in read_case(dataset, case).problems) is not fits
    assert (_grid(case) == mask) is fits
    assert ("origin" in [problem.kind for problem in verify(dataset).problems]) is not fits
    for check in (lambda: check_grid("a", image, mask), lambda: check_prediction(image, mask)):
        if fits:
            check()
        else:
            with pytest.raises(ValueError, match="origin"):
                check()


def test_what_lies_on_each_other_does_so_both_ways_and_whatever_the_world(tmp_path):
    """Turning and moving both grids in the world changes nothing between them."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        ours, theirs, world = (np.eye(4) for _ in range(3))
        ours[:3, :3] = np.diag(rng.uniform(0.3, 5, 3))
        theirs[:3, :3] = ours[:3, :3] @ (np.eye(3) + rng.normal(0, 0.01, (3, 3)))
        world[:3] = np.hstack([np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.normal(0, 99, (3, 1))])
        apart = elements_apart(SHAPE, ours, theirs)
        assert elements_apart(SHAPE, world @ ours, world @ theirs) == pytest.approx(apart, abs=1e-9)
        assert elements_apart(SHAPE, theirs, ours) == pytest.approx(apart, rel=0.2)
        inside = np.indices(SHAPE).reshape(3, -1)
        between = np.linalg.inv(ours[:3, :3]) @ (theirs - ours)[:3, :3] @ inside
        assert np.abs(between).max() == pytest.approx(apart)


def test_a_header_without_directions_is_compared_by_its_spacing_alone(tmp_path):
    oriented = save(tmp_path / "a.nii", LAS)
    plain = save(tmp_path / "b.nii", pixdim=(1.3, 1.3, 10))
    assert files_apart(oriented, plain) is None
    thick = save(tmp_path / "c.nii", pixdim=(1.3, 1.3, 11))
    assert files_apart(oriented, thick)[0] == "spacing"


def test_the_spacing_of_a_single_slice_counts(tmp_path):
    one = save(tmp_path / "a.nii", LAS, shape=(4, 5, 1))
    other = save(tmp_path / "b.nii", LAS * [1, 1, 0.5, 1], shape=(4, 5, 1))
    assert files_apart(one, other)[0] == "spacing"


lengths = st.tuples(*[st.sampled_from([0.7, 1.0, 1.3, 5.0])] * 3)


@settings(deadline=None, max_examples=40)
@given(
    sform=st.none() | lengths,
    qform=st.none() | lengths,
    pixdim=lengths,
    codes=st.tuples(st.integers(1, 2), st.integers(1, 4)),
    unit=st.sampled_from(["mm", "micron", "unknown"]),
)
def test_the_spacing_is_that_of_itk(tmp_path_factory, sform, qform, pixdim, codes, unit):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is absent; spacing is not compared")
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    forms = [None if each is None else np.diag([*each, 1.0]) for each in (sform, qform)]
    path = tmp_path_factory.mktemp("itk") / "a.nii"
    save(path, forms[0], qform=forms[1], codes=codes, pixdim=pixdim, unit=unit)
    header = read_header(path)
    np.testing.assert_allclose(header.spacing_mm, sitk.ReadImage(path).GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(header.affine_mm[:3, :3], axis=0), header.spacing_mm, rtol=1e-4
    )


TURNED = LAS[:, [1, 0, 2, 3]]


@pytest.mark.parametrize(
    ("sform", "qform", "codes", "expected"),
    [
        (LAS, LAS, (1, 1), []),
        (LAS, None, (0, 1), []),
        (None, LAS, (1, 0), []),
        # ACDC: 1 x 1 x 1 mm beside 1.3 x 1.3 x 10 mm
        (np.diag([-1.0, 1, 1, 1]), LAS, (1, 1), ["spacing"]),
        (np.diag([-1.0, 1, 1, 1]), LAS, (1, 2), ["spacing"]),
        (np.diag([1.3, 1.3, 10, 1]), LAS, (1, 1), ["orientation"]),
        (TURNED, LAS, (1, 4), ["orientation"]),
        (np.diag([1.0, 1, 1, 1]), LAS, (1, 1), ["orientation", "spacing"]),
        (LAS + np.eye(4, k=3), LAS, (1, 1), ["orientation"]),
        (LAS + np.eye(4, k=3), LAS, (1, 4), []),  # moved into the space of a template
    ],
)
def test_a_header_that_contradicts_itself_is_named(tmp_path, sform, qform, codes, expected):
    path = save(tmp_path / "i.nii.gz", sform, qform=qform, codes=codes)
    assert sorted(kind for kind, _ in contradictions(read_header(path))) == expected
    (tmp_path / "m.nii.gz").write_bytes(path.read_bytes())
    (tmp_path / "manifest.csv").write_text(
        "id,image,mask,annotator,split\na,i.nii.gz,m.nii.gz,x,\n"
    )
    report = verify(tmp_path)
    assert report.ok
    for file in ("i.nii.gz", "m.nii.gz"):
        assert sorted(p.kind for p in report.problems if p.path == file and p.kind in LISTED) == (
            expected
        )


LISTED = ("spacing", "orientation")


def test_a_contradiction_names_both_and_what_is_taken(tmp_path):
    path = save(tmp_path / "a.nii", np.diag([-1.0, 1, 1, 1]), qform=LAS)
    ((_, told),) = contradictions(read_header(path))
    assert "1 x 1 x 1 mm" in told and "1.3 x 1.3 x 10 mm, which is taken" in told
    assert read_header(path).spacing_mm == (1.3, 1.3, 10.0)


def test_a_mask_with_the_right_header_lies_on_an_image_that_contradicts_itself(tmp_path):
    image = save(tmp_path / "i.nii", np.diag([-1.0, 1, 1, 1]), qform=LAS)
    assert files_apart(image, save(tmp_path / "m.nii", LAS)) is None
