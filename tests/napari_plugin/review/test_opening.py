"""The form that opens a data set, without a window."""

import csv

from napari_plugin.review.opening import Opening, Request


def test_an_audit_that_was_found_goes_with_its_data_set(qtbot, lesions, audit, tmp_path):
    form, said = Opening(), []
    qtbot.addWidget(form)
    form.said.connect(said.append)

    def choose(folder):
        form.dataset.setText(str(folder))
        form.dataset.editingFinished.emit()
        return form.audit.text()

    other = tmp_path / "output" / "empty"
    other.mkdir(parents=True)
    assert [choose(folder) for folder in (lesions, other)] == [str(audit), ""]
    form.audit.setText("another")
    assert choose(lesions) == "another", "named by the user"
    form.audit.clear()
    assert choose(lesions) == str(audit) and choose(other) == ""
    form.open()
    qtbot.waitUntil(form.open_button.isEnabled)
    qtbot.waitUntil(lambda: len(said) == 4)  # looked at twice, opening, not opened
    assert not form._output_row.isEnabled(), "a path with the word is no read-only folder"
    assert str(other) in said[-1]


def test_disagreement_ranks_the_masks_that_are_reviewed(lesions):
    manifest = lesions / "manifest.csv"
    with open(manifest, newline="") as file:
        rows = list(csv.DictReader(file))
    with open(manifest, "a", newline="") as file:
        write = csv.DictWriter(file, rows[0], lineterminator="\n")
        for row, following in zip(rows[:4], rows[1:], strict=False):
            write.writerow(row | {"mask": following["mask"], "annotator": "consensus-majority"})
    request = Request(str(lesions), "anna", suggest="consensus-majority", by_disagreement=True)
    with request.open() as session:
        first = {item.id: item.score for item in session.items}
        case = session.load(session.current)
        session.decide(case.id, "repair", mask=1 - case.labels)
    assert sum(score is not None for score in first.values()) == 4
    with request.open() as session:
        assert {item.id: item.score for item in session.items} == first
