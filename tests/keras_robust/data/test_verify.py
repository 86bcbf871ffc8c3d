import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.data import Dataset, Problem, verify


def kinds(report):
    return sorted((p.severity, p.kind) for p in report.problems)


def files(build, folder, index):
    id = build.cases[index].id
    return folder / "images" / f"{id}.jpg", folder / "masks" / f"{id}.png"


@pytest.mark.parametrize("layout", ["manifest", "isic2017", "shenzhen", "nnunet"])
def test_good_datasets_have_no_problem(build, layout):
    report = verify(getattr(build, layout)())
    assert report.ok and report.problems == () and report.cases > 0


def test_every_problem_of_every_case_at_once(build):
    def change(row):
        patient = {0: "p0", 1: "p1", 6: "p1"}.get(order.index(row["id"]), "")
        return {**row, "group": patient}

    order = [case.id for case in build.cases]
    folder = build.manifest(change=change)
    image, mask = files(build, folder, 0)
    mask.write_bytes(mask.read_bytes()[:150])
    image, mask = files(build, folder, 1)
    image.write_bytes(b"not an image")
    Image.new("L", (256, 255)).save(files(build, folder, 2)[1])  # also empty
    Image.new("L", (256, 256), 7).save(files(build, folder, 3)[1])
    files(build, folder, 4)[0].unlink()
    shutil.copy(files(build, folder, 5)[0], files(build, folder, 7)[0])
    with open(folder / "manifest.csv", "a") as file:
        for row in (
            f"{order[5]},images/{order[5]}.jpg,masks/{order[5]}.png,isic_gt,train,",
            f"{order[5]},images/{order[5]}.jpg,masks/{order[5]}.png,second,test,",
            "x,../x.jpg,,,train,",
        ):
            file.write(row + "\n")
    report = verify(folder)
    assert kinds(report) == [
        ("error", "duplicate-row"),
        ("error", "leak-group"),
        ("error", "leak-id"),
        ("error", "leak-image"),
        ("error", "missing-file"),
        ("error", "outside"),
        ("error", "size"),
        ("error", "truncated"),
        ("error", "unreadable"),
        ("error", "values"),
        ("warning", "empty-mask"),
    ]
    by_kind = {p.kind: p for p in report.problems}
    assert by_kind["size"].id == order[2] and "256 x 256" in by_kind["size"].message
    assert "255 x 256" in by_kind["size"].message
    assert "7" in by_kind["values"].message
    assert by_kind["leak-group"].message.startswith("group 'p1'")
    assert by_kind["truncated"].path == f"masks/{order[0]}.png"
    assert report.facts()["errors"] == 10


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_reports_do_not_depend_on_workers(build, workers):
    folder = build.manifest()
    for index in range(4):
        files(build, folder, index)[0].write_bytes(b"x")
    calls = []
    report = verify(folder, lambda *call: calls.append(call), workers)
    assert report == verify(folder)
    assert calls == [(n, 16) for n in range(1, 17)]


def test_damaged_at_any_place_is_reported_or_still_whole(build):
    folder = build.manifest()
    _, mask = files(build, folder, 0)
    whole = mask.read_bytes()
    original = np.array(Dataset.open(folder).read_mask(Dataset.open(folder).cases[0]))
    for length in range(0, len(whole), 11):
        mask.write_bytes(whole[:length])
        report = verify(Dataset.open(folder).select(ids=[build.cases[0].id]))
        if report.ok:  # only the end mark is missing
            np.testing.assert_array_equal(
                Dataset.open(folder).read_mask(Dataset.open(folder).cases[0]), original
            )
        else:
            assert {p.kind for p in report.errors} <= {"truncated", "unreadable"}


def test_one_image_under_two_ids(build):
    folder = build.manifest()
    for source, target in zip(files(build, folder, 0), files(build, folder, 1), strict=True):
        shutil.copy(source, target)
    report = verify(folder)
    assert kinds(report) == [("warning", "duplicate-image"), ("warning", "duplicate-mask")]
    assert build.cases[1].id in report.problems[0].message


def test_the_same_pixels_in_another_file_are_the_same_image(build):
    folder = build.manifest()
    target, source = files(build, folder, 0)[0], files(build, folder, 6)[0]
    with Image.open(source) as image:
        image.save(target, format="BMP")  # Pillow goes by content
    assert kinds(verify(folder)) == [("error", "leak-image")]


def test_orientation_is_a_warning(build):
    folder = build.manifest()
    path = files(build, folder, 0)[0]
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif, quality=95)
    assert kinds(verify(folder)) == [("warning", "orientation")]


def test_what_is_no_dataset_is_a_report_too(tmp_path):
    report = verify(tmp_path)
    assert kinds(report) == [("error", "layout")]
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "absent")


def test_text_escapes_what_names_hold():
    problem = Problem("error", "a\x1b[31m\n", "", "name", "rename it")
    assert "\x1b" not in str(problem) and "\n" not in str(problem)


def test_command(build):
    folder, run = build.manifest(), CliRunner()
    result = run.invoke(app, ["verify", str(folder)])
    assert result.exit_code == 0 and "8 cases" in result.output and "0 errors" in result.output
    Image.new("L", (256, 256)).save(files(build, folder, 0)[1])
    result = run.invoke(app, ["verify", str(folder)])
    assert result.exit_code == 0 and "WARNING empty-mask" in result.output
    files(build, folder, 1)[1].unlink()
    result = run.invoke(app, ["verify", str(folder)])
    assert result.exit_code == 1 and "ERROR missing-file" in result.output
    result = run.invoke(app, ["verify", str(folder), "--json"])
    assert result.exit_code == 1
    assert [p["kind"] for p in json.loads(result.stdout)["problems"]] == [
        "missing-file",
        "empty-mask",
    ]
    result = run.invoke(app, ["verify", str(folder / "absent")])
    assert result.exit_code == 2 and "does not exist" in result.output
