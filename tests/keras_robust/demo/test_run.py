"""The demonstration end to end, at the smallest size that trains."""

import json
import re

import pytest
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.data import Dataset
from keras_robust.demo.run import KINDS, NOISY, REPAIRED

SMALL = ["--size", "16", "--features", "2"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "random.py").write_text("raise ImportError('somebody has a file of this name')")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        call = ["demo", "--output", str(folder), *SMALL, "--epochs", "2"]
        result = CliRunner().invoke(app, call)
        assert result.exit_code == 0, result.output
        yield folder, call, result


def test_the_report_opens_with_what_was_found(demo):
    folder, _, result = demo
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.index("What was found") < page.index("What it changes") < page.index("Next")
    assert page.count("data:image/jpeg;base64,") == 20 and "data:image/png;base64," in page
    assert not re.search(r"""(?:src|href)=["']https?:""", page)
    assert (folder / "demo.png").read_bytes()[:4] == b"\x89PNG"
    audit = folder / "audit"
    assert result.stdout.splitlines()[-1] == (
        f"Next: keras-robust view {folder / 'data'} --audit {audit}"
    )
    said = r"Of the 20 that it ranks first, \d+ are wrong \(\d by chance\)"
    assert re.search(said, result.stdout)


def test_three_in_ten_masks_are_wrong_in_several_ways_and_the_first_are_repaired(demo):
    folder, call, _ = demo
    found = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)
    assert (found["masks"], found["first"]) == (80, 20) and 20 <= found["wrong"] <= 24
    assert set(found["dice"]) == {"plain", "robust", "refined", "repaired"}
    dataset = Dataset.open(folder / "data")
    files = {a: {c.id: c.mask for c in dataset.select(annotator=a)} for a in (NOISY, REPAIRED)}
    assert sum(files[NOISY][id] != file for id, file in files[REPAIRED].items()) == 20
    log = (folder / "data" / "masks" / NOISY / "noise.jsonl").read_text()
    assert len({kind for kind in KINDS if f'"{kind}"' in log}) >= 4


def test_it_continues_and_refuses_other_settings(demo):
    folder, call, _ = demo
    histories = sorted(folder.glob("*/**/history.csv"))
    assert len(histories) == 6  # two judges, four networks
    before = [path.stat().st_mtime_ns for path in histories]
    (folder / "report.html").unlink()
    assert CliRunner().invoke(app, call).exit_code == 0
    assert (folder / "report.html").is_file()
    assert [path.stat().st_mtime_ns for path in histories] == before
    other = CliRunner().invoke(app, [*call[:-1], "3"])
    assert other.exit_code == 2
    assert "Give another output folder" in " ".join(other.output.split())
