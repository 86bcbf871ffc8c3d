"""A third reader decides between two, through the window."""

import numpy as np

from keras_robust.review import ReviewSession

from .conftest import ready


def test_disputed_cases_open_with_both_opinions(reviewing, qtbot, lesions, audit):
    with ReviewSession(lesions, "ben", audit) as ben:
        first, second = (item.id for item in ben.items[:2])
        mask = ben.load(second).labels
        ben.decide(first, "accept")
        ben.decide(second, "repair", "rim", mask=np.roll(mask, 40, axis=0))
    with ReviewSession(lesions, "dora", audit) as dora:
        dora.decide(first, "accept")
        dora.decide(second, "accept", "good")
    before = [(lesions / f"reviews/{n}/review.jsonl").read_bytes() for n in ("ben", "dora")]
    viewer, widget = reviewing()
    assert widget.controls.opinions.isHidden()
    widget.head.list_reviewers()
    action = widget.head.agree_menu.actions()[-1]
    assert action.text() == "Decide between ben and dora"
    action.trigger()
    qtbot.waitUntil(lambda: ready(widget) and widget.desk.case.id == second, timeout=20_000)
    qtbot.waitUntil(lambda: not widget.controls.opinions.isHidden(), timeout=20_000)
    assert {"ben: repair", "dora: accept"} <= {layer.name for layer in viewer.layers}
    assert "rim" in widget.controls.opinions.legend.text()
    assert widget.filters._only == (second,)
    layers = widget.desk.layers
    widget.controls.opinions.buttons["take first"].click()
    assert np.array_equal(layers.labels, np.roll(mask, 40, axis=0))
    layers.undo()
    assert np.array_equal(layers.labels, mask)
    widget.controls.opinions.buttons["merge"].click()
    assert np.array_equal(layers.labels, mask), "the annotator's where they differ"
    widget.controls.opinions.buttons["take first"].click()
    widget.act("repair")
    qtbot.waitUntil(lambda: second in widget.desk.session.decisions, timeout=20_000)
    after = [(lesions / f"reviews/{n}/review.jsonl").read_bytes() for n in ("ben", "dora")]
    assert after == before
    widget.close_down()
    assert not [layer for layer in viewer.layers if "ben" in layer.name]
