"""Three planes of a volume: turned as radiologists have them, linked by a cross."""

import itertools

import numpy as np
import pytest
from napari.layers import Image, Labels
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_plugin.viewer.orthogonal import OrthogonalWidget
from napari_plugin.viewer.planes import picture, planes, shown_layers

SIDES = [
    "".join(letters)
    for order in itertools.permutations(("RL", "AP", "SI"))
    for letters in itertools.product(*order)
]


@pytest.mark.parametrize("letters", SIDES)
def test_every_orientation_is_shown_as_radiologists_do(letters):
    """The corner at the right, the front and the head is above on the left in all planes."""
    patient = np.zeros((3, 4, 5), np.uint8)  # to R, A and S
    patient[-1, -1, -1] = 255
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(letters))
    stored = apply_orientation(patient, turn)
    layer = Image(stored, contrast_limits=(0, 255))
    shapes = {"axial": (4, 3), "coronal": (5, 3), "sagittal": (5, 4)}
    for plane in planes(letters):
        at = int(np.argwhere(stored)[0][plane.slider])
        seen = picture([layer], plane, at)[..., 0]
        assert seen.shape == shapes[plane.name] and seen[0, 0] == 255 and seen.sum() == 255
        assert plane.sides[0] in "AS" and plane.sides[2] in "RA"


def test_masks_lie_over_the_image_and_others_are_left_out():
    image = Image(np.full((4, 6, 8), 100, np.int16), contrast_limits=(0, 200))
    mask = np.zeros((4, 6, 8), np.uint8)
    mask[2, 3, 4] = 1
    above = Labels(mask, opacity=1.0, colormap={None: "red", 0: "transparent"})
    hidden = Labels(mask * 2, visible=False)
    other = Labels(np.ones((4, 6, 9), np.uint8))
    layers = shown_layers([image, above, hidden, other, Image(np.zeros((9, 9)))])
    assert layers == [image, above]
    seen = picture(layers, planes()[0], 2)
    assert seen[3, 4].tolist() == [255, 0, 0] and seen[0, 0].tolist() == [127, 127, 127]


def test_a_click_moves_all_views_and_painting_is_followed(viewer_model, qtbot):
    viewer_model.add_layer(Image(np.zeros((20, 30, 40), np.uint8), scale=(2, 1, 1)))
    mask = Labels(np.zeros((20, 30, 40), np.uint8), scale=(2, 1, 1), opacity=1.0)
    viewer_model.add_layer(mask)
    widget = OrthogonalWidget(viewer_model)
    qtbot.addWidget(widget)
    widget.resize(900, 300)
    widget.show()
    qtbot.waitUntil(lambda: len(widget.panes) == 3 and widget.panes[0].image is not None)
    across = widget.panes[1]  # rows of axis 0, columns of axis 2
    area = across._area()
    spot = QPoint(
        round(area.left() + 10.5 / 40 * area.width()), round(area.top() + 5.5 / 20 * area.height())
    )
    QTest.mouseClick(across, Qt.MouseButton.LeftButton, pos=spot)
    assert viewer_model.dims.current_step[0] == 5 and viewer_model.dims.current_step[2] == 10
    qtbot.waitUntil(lambda: widget.panes[0]._cross[1] == 10 and across._cross == (5, 10))
    mask.paint((5, 3, 10), 1)
    qtbot.waitUntil(lambda: widget.panes[0].image.pixelColor(10, 3).value() > 0)
    viewer_model.layers.clear()
    qtbot.waitUntil(lambda: "Open a volume" in widget.message.text())
    widget.close_down()
    assert widget._follow_mouse not in viewer_model.mouse_drag_callbacks
