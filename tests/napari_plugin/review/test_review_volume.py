"""A volume and several classes under review."""

import json

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from keras_robust.data import Dataset
from napari_plugin.review import ReviewWidget

from .conftest import ready


def test_volumes_of_several_classes_are_painted_and_written(make_napari_viewer, qtbot, tmp_path):
    import nibabel

    home, affine = tmp_path / "organs", np.diag([2.0, 1.0, 1.5, 1.0])
    home.mkdir()
    labels = np.zeros((6, 20, 24), np.uint8)
    labels[2:4, 5:9, 5:9], labels[2:4, 10:14, 5:9] = 1, 2
    image = (labels * 100.0 + np.random.default_rng(0).normal(size=labels.shape)).astype("float32")
    rows = ["id,image,mask,annotator,split"]
    for id in ("a", "b"):
        nibabel.Nifti1Image(image, affine).to_filename(home / f"{id}.nii.gz")
        nibabel.Nifti1Image(labels, affine).to_filename(home / f"{id}_mask.nii.gz")
        rows.append(f"{id},{id}.nii.gz,{id}_mask.nii.gz,clinic,train")
    (home / "manifest.csv").write_text("\n".join(rows) + "\n")
    names = {"background": 0, "liver": 1, "spleen": 2}
    (home / "dataset.json").write_text(json.dumps({"labels": names}))
    viewer = make_napari_viewer()
    widget = ReviewWidget(viewer)
    widget.open(home, None, "anna")
    qtbot.waitUntil(lambda: ready(widget), timeout=20_000)
    layer = widget.desk.layers.corrected
    assert tuple(layer.scale) == (2.0, 1.0, 1.5)
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    planes = widget._planes
    qtbot.waitUntil(lambda: len(planes.panes) == 3 and planes.panes[2].image is not None)
    assert [pane.plane.name for pane in planes.panes] == ["axial", "coronal", "sagittal"]
    QTest.keyClick(canvas, Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    assert planes.closed and widget._planes is None
    assert not np.allclose(layer.colormap.map(1), layer.colormap.map(2))
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 2)
    widget.act("repair")
    qtbot.waitUntil(lambda: ready(widget) and widget.desk.case.id == "b", timeout=20_000)
    widget.close_down()
    (case,) = Dataset.open(home).select(annotator="anna").cases
    written = nibabel.load(case.mask)
    assert np.allclose(written.affine, affine)
    expected = labels.copy()
    expected[0, 0, 0] = 2
    assert np.array_equal(np.asarray(written.dataobj), expected)
