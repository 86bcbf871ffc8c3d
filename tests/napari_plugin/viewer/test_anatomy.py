"""Volumes of all 48 orientations are shown alike and written as they were stored."""

import tempfile
from itertools import permutations
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_plugin.files.volumes import read_volume_layer
from napari_plugin.viewer.anatomy import OPPOSITE, WORLD, axis_names, camera, follow
from tests.napari_plugin.files.test_volumes import ORIENTATIONS, SHAPE, affine_of

PLANES = {
    "axial": ((2, 1, 0), "APRL"),
    "coronal": ((1, 2, 0), "SIRL"),
    "sagittal": ((0, 2, 1), "SIAP"),
}


def turned(voxels, affine, orientation):
    """The same volume of the same patient, stored in another order of voxels."""
    now = nibabel.io_orientation(affine)
    then = nibabel.orientations.axcodes2ornt(tuple(orientation))
    change = nibabel.orientations.ornt_transform(now, then)
    shape = voxels.shape
    return (
        np.ascontiguousarray(nibabel.apply_orientation(voxels, change)),
        affine @ nibabel.orientations.inv_ornt_aff(change, shape),
    )


def has_sides(viewer, letters):
    """Whether these letters are above, below, left and right; napari before 0.9 shows none."""
    if not hasattr(viewer, "canvas"):
        return True
    overlays = viewer.canvas.overlays
    places = ("top_center", "bottom_center", "middle_left", "middle_right")
    shown = [overlays[f"keras_robust_{place}"] for place in places]
    return "".join(overlay.text for overlay in shown if overlay.visible) == letters


def screen(viewer, orientation):
    """World directions to which the screen goes up, to the right and out of it."""
    axes = [np.sign(affine_of(orientation)[:3, axis]) for axis in viewer.dims.order]
    depth, up, right = camera(viewer).orientation
    return (
        axes[1] * (1 if up == "up" else -1),
        axes[2] * (1 if right == "right" else -1),
        axes[0] * (1 if depth == "towards" else -1),
    )


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_plane_is_shown_as_radiologists_do(viewer_model, tmp_path, orientation):
    follow(viewer_model)
    path = tmp_path / "image.nii"
    nibabel.Nifti1Image(np.ones(SHAPE, np.int16), affine_of(orientation)).to_filename(path)
    viewer_model.open(path, plugin="keras-robust")
    names = tuple(f"{OPPOSITE[letter]}–{letter}" for letter in orientation)
    assert viewer_model.dims.axis_labels == names
    worlds = [WORLD[letter] for letter in orientation]
    assert worlds[viewer_model.dims.order[0]] == 2  # axial slices first
    for planes, letters in PLANES.values():
        viewer_model.dims.order = tuple(worlds.index(world) for world in planes)
        assert has_sides(viewer_model, letters)
        above, right, out = screen(viewer_model, orientation)
        assert above[WORLD[letters[0]]] == (1 if letters[0] in "RAS" else -1)
        assert right[WORLD[letters[3]]] == (1 if letters[3] in "RAS" else -1)
        np.testing.assert_array_equal(np.cross(right, above), out)  # in 3-D nothing is mirrored
    viewer_model.dims.ndisplay = 3
    assert has_sides(viewer_model, "")


@settings(
    max_examples=24,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(ORIENTATIONS),
    st.tuples(*(st.integers(0, size - 1) for size in SHAPE)),
    st.sampled_from([(0, 1), (1, 0), (1, 1)]),
)
def test_one_painted_voxel_is_written_where_it_was_painted(viewer_model, orientation, voxel, codes):
    """Voxel, affine, qform and sform of the file are those of the image; no other voxel is set."""
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.int16) + 300, affine_of(orientation))
    image.set_qform(image.affine, codes[0])
    image.set_sform(image.affine, codes[1])
    viewer = viewer_model
    viewer.layers.clear()
    follow(viewer)
    with tempfile.TemporaryDirectory() as folder:
        path, written = Path(folder) / "image.nii.gz", Path(folder) / "mask.nii.gz"
        image.to_filename(path)
        data, options, _ = read_volume_layer(path)
        viewer.add_image(data, **options)
        notes, scale = options["metadata"], options["scale"]
        layer = viewer.add_labels(np.zeros(SHAPE, np.uint8), metadata=notes, scale=scale)
        world = tuple(index * step for index, step in zip(voxel, scale, strict=True))
        layer.brush_size = 1
        layer.paint(layer.world_to_data(world), 1)
        layer.save(str(written), plugin="keras-robust")
        mask, stored = nibabel.load(written), nibabel.load(path)
        expected = np.zeros(SHAPE, np.uint8)
        expected[voxel] = 1
        np.testing.assert_array_equal(np.asarray(mask.dataobj), expected)
        np.testing.assert_array_equal(mask.affine, stored.affine)
        for form in ("qform_code", "sform_code", "pixdim", "srow_x", "quatern_b"):
            np.testing.assert_array_equal(mask.header[form], stored.header[form])
        of_patient = nibabel.as_closest_canonical(mask)
        np.testing.assert_allclose(
            of_patient.affine @ [*np.argwhere(np.asarray(of_patient.dataobj))[0], 1],
            stored.affine @ [*voxel, 1],
        )


def test_one_patient_stored_in_any_order_is_one_picture(make_napari_viewer, qapp):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(500, 400)
    anatomy = follow(viewer)
    voxels = np.random.default_rng(0).integers(0, 255, (12, 14, 16)).astype(np.uint8)
    pictures = []
    for order in ("RAS", "RAS", "SPL", "ALI", "IRA"):
        data, affine = turned(voxels, np.diag([2.0, 2, 2, 1]), order)
        notes = {"towards": "".join(nibabel.aff2axcodes(affine))}
        assert notes["towards"] == order
        layer = viewer.add_image(
            data, contrast_limits=(0, 255), metadata={"keras_robust": notes}, scale=(2, 2, 2)
        )
        viewer.dims.set_current_step(viewer.dims.order[0], 8 if "S" in order else 7)
        qapp.processEvents()
        viewer.reset_view()
        pictures.append(viewer.screenshot(canvas_only=True, flash=False))
        viewer.layers.remove(layer)
    for picture in pictures[2:]:  # the first is of a window that is not laid out yet
        assert np.abs(picture.astype(int) - pictures[1]).mean() < 1
    assert anatomy is follow(viewer)


def test_pictures_after_a_volume_are_not_mirrored(viewer_model):
    before = camera(viewer_model).orientation
    follow(viewer_model)
    notes = {"keras_robust": {"towards": "RAI"}}
    labels = axis_names("RAI")
    volume = viewer_model.add_image(np.zeros(SHAPE), metadata=notes, axis_labels=labels)
    assert camera(viewer_model).orientation != before
    viewer_model.layers.remove(volume)
    viewer_model.add_image(np.zeros((5, 6)))
    assert camera(viewer_model).orientation == before
    assert viewer_model.dims.order == (0, 1)
    assert viewer_model.dims.axis_labels == ("-2", "-1")


def test_the_plane_chosen_stays_from_volume_to_volume(viewer_model):
    follow(viewer_model)
    first = viewer_model.add_image(np.zeros(SHAPE), metadata={"keras_robust": {"towards": "RAS"}})
    viewer_model.dims.order = (1, 2, 0)  # coronal
    first.metadata = {"keras_robust": {"towards": "SPL"}}
    follow(viewer_model).update()
    assert viewer_model.dims.order == (1, 0, 2) and has_sides(viewer_model, "SIRL")


def test_volumes_that_lie_otherwise_are_said(viewer_model, monkeypatch):
    said = []
    monkeypatch.setattr("napari_plugin.viewer.anatomy.show_warning", said.append)
    follow(viewer_model)
    for name, letters in (("a", "RAS"), ("b", "LAS")):
        notes = {"keras_robust": {"towards": letters}}
        viewer_model.add_image(np.zeros(SHAPE), name=name, metadata=notes)
    assert len(said) == 1 and said[0].startswith("“b” is stored as LAS")


def test_a_header_that_does_not_say_how_it_lies_gets_no_letters(viewer_model, tmp_path):
    image = nibabel.Nifti1Image(np.ones(SHAPE, np.int16), None)
    image.header.set_qform(None, 0)
    image.header.set_sform(None, 0)
    image.to_filename(tmp_path / "image.nii")
    follow(viewer_model)
    (layer,) = viewer_model.open(tmp_path / "image.nii", plugin="keras-robust")
    assert not layer.metadata["keras_robust"]["towards"]
    assert viewer_model.dims.order == (0, 1, 2)


@pytest.mark.parametrize("first", ["".join(p) for p in permutations("RAS")])
def test_channels_stay_before_the_three_axes(viewer_model, first):
    follow(viewer_model)
    notes = {"keras_robust": {"towards": first}}
    viewer_model.add_image(np.zeros((2, *SHAPE)), metadata=notes)
    assert viewer_model.dims.order[0] == 0
    assert has_sides(viewer_model, "APRL")
