import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from keras_robust.cli import app
from keras_robust.common.artefacts import DamagedFileError
from keras_robust.common.files import atomic_write_text
from keras_robust.reports.names import in_order
from keras_robust.scheduling.records import RunRecord, find_runs
from keras_robust.studies.crossval.paired_tests import paired_tests
from keras_robust.studies.crossval.report import write_cross_validation_report
from keras_robust.studies.crossval.scores import natural, per_case, per_fold, read_scores, unscored
from keras_robust.studies.crossval.tables import (
    compare_methods,
    reliabilities,
    spread,
    table1,
    table2,
)
from keras_robust.training.records.finished import SCORED_LARGEST, record_of

HEAD = "id,label,dice,asd_mm,surface_dice,hd95_mm,ece"
GAINS = {"Baseline (ref.)": 0.1, "Baseline": 0.0, "CoT": 0.03, "T-Loss": -0.02}


def write_run(folder, data, method, fold, *, two=True):
    """A run of one fold of ten cases; every method scores `GAINS` above the same cases."""
    annotator = "gold" if method.endswith("(ref.)") else "crowd"
    config = {
        "data": {
            "path": str(data),
            "annotator": annotator,
            "clean_annotator": "gold",
            "fold": [fold, 3],
        },
        "loss": "ce+dice",
        "epochs": 2,
    }
    atomic_write_text(folder / "config.yaml", yaml.safe_dump(config))
    atomic_write_text(folder / "entry.json", json.dumps({"label": method}))
    atomic_write_text(folder / "run.json", json.dumps({"status": "finished"}))
    noise = np.random.default_rng([fold, sum(map(ord, method))]).normal(0, 0.004, 10)
    rows = [HEAD]
    for case in range(10):
        dice = 0.7 + 0.01 * case + 0.02 * fold + GAINS[method] + noise[case]
        rows.append(f"f{fold}c{case},1,{dice:.4f},{3 - 2 * dice:.4f},{dice / 2:.4f},5,0.02")
        if two:
            asd = "inf" if case == 0 and method == "CoT" else f"{4 - 2 * dice:.4f}"
            rows.append(f"f{fold}c{case},2,{dice - 0.1:.4f},{asd},{dice / 2:.4f},5,0.04")
    atomic_write_text(folder / "evaluation.csv", "\n".join(rows) + "\n")
    bins = ["label,bin,count,total_confidence,correct", "1,0,100,5.0,10", "1,1,100,90.0,80"]
    atomic_write_text(folder / "reliability.csv", "\n".join(bins) + "\n")
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    data = root / "data"
    lines = ["id,image,mask,annotator,split"]
    for annotator, columns in (("gold", 4), ("crowd", 2)):
        mask = np.zeros((4, 8), np.uint8)
        mask[:, :columns] = 255
        (data / annotator).mkdir(parents=True)
        Image.fromarray(mask).save(data / annotator / "a.png")
        lines.append(f"a,gold/a.png,{annotator}/a.png,{annotator},")
    atomic_write_text(data / "manifest.csv", "\n".join(lines) + "\n")
    for method in GAINS:
        for fold in range(3):
            write_run(root / "runs" / f"{method}_f{fold}".replace(" ", ""), data, method, fold)
    return root / "runs"


def test_tables_are_means_and_deviations_over_folds(study):
    scores = read_scores(find_runs(study))
    by_fold = per_fold(scores, "dice", "1").loc["Baseline"]
    own = [
        pd.read_csv(study / f"Baseline_f{fold}/evaluation.csv").query("label == 1")["dice"].mean()
        for fold in range(3)
    ]
    np.testing.assert_allclose(by_fold, own)
    second = table2(scores)
    assert second.loc["Baseline", "1: Dice"] == spread(own)
    first = table1(scores)
    assert list(first.index) == ["Baseline (ref.)", "Baseline", "CoT", "T-Loss"]
    assert first.loc["Baseline", "Dice"] == spread([value - 0.05 for value in own])
    # CoT missed class 2 in one case per fold: its distances are the mean over the others.
    assert first["missed"].to_dict() == {name: 3 * (name == "CoT") for name in first.index}
    assert second["2: missed"].to_dict() == first["missed"].to_dict()
    assert "1: missed" not in second
    assert math.isfinite(per_fold(scores, "asd", "2").loc["CoT"].mean())


def test_tables_name_classes_and_the_unit_that_was_read(study, tmp_path):
    """Runs scored in pixels, with names of classes."""
    runs = shutil.copytree(study, tmp_path / "runs")
    for path in runs.glob("*/evaluation.csv"):
        table = pd.read_csv(path, dtype=str)
        table.insert(2, "name", table["label"].map({"1": "", "2": "tumour"}))
        table.rename(columns={"asd_mm": "asd_px", "hd95_mm": "hd95_px"}).to_csv(path, index=False)
    scores = read_scores(find_runs(runs))
    assert "ASD (px)" in table1(scores)
    assert {"1: ASD (px)", "2 tumour: ASD (px)", "2 tumour: missed"} <= set(table2(scores))
    page = write_cross_validation_report(runs, tmp_path / "report").read_text()
    assert "(mm)" not in page and "asd_px" in (tmp_path / "report/scores.csv").read_text()
    shutil.copytree(study / "CoT_f0", runs / "one in mm")
    with pytest.raises(ValueError, match="in one unit. Received: mm of CoT, px of Baseline"):
        read_scores(find_runs(runs))


def test_a_paired_test_sees_what_lies_below_the_spread_between_cases(study):
    scores = read_scores(find_runs(study))
    found = compare_methods(scores, "crowd")
    assert found.baseline == "Baseline"
    paired = found.paired_cases.set_index("method")
    assert paired.loc["CoT", "difference"] == pytest.approx(0.03, abs=0.003)
    assert (paired["pairs"] == 30).all() and (paired["p_holm"] < 0.001).all()
    assert paired.loc["CoT", "higher"] == 1 and paired.loc["T-Loss", "higher"] < 0.1
    # The reference takes no part in the ANOVA.
    assert set(found.folds.tukey["A"]) | set(found.folds.tukey["B"]) == {*GAINS} - {
        "Baseline (ref.)"
    }
    folds = found.paired_folds.set_index("method")
    assert (folds["pairs"] == 3).all() and folds.loc["CoT", "p"] < 0.05


def test_a_case_counts_once_however_often_a_method_was_trained():
    rows = [("A", "test s0", "x", 0.6), ("A", "test s1", "x", 0.8), ("A", "test s0", "y", 0.5)]
    scores = pd.DataFrame(rows, columns=["method", "fold", "id", "dice"])
    scores = scores.assign(label="1", unit=scores["id"])
    # Two classes of one training weigh as much as one of another: ((.6 + .2) / 2 + .8) / 2.
    other = scores.iloc[[0]].assign(label="2", dice=0.2)
    found = per_case(pd.concat([scores, other]), "dice")
    assert found == {"A": pytest.approx({"x": 0.6, "y": 0.5})}


def test_images_of_one_patient_count_once(study, tmp_path):
    for name in ("Baseline_f0", "CoT_f0"):
        shutil.copytree(study / name, tmp_path / name)
        path = tmp_path / name / "evaluation.csv"
        table = pd.read_csv(path)
        group = (
            table["id"].replace({"f0c0": "f0c3", "f0c1": "f0c3"}).where(table["id"] < "f0c5", "")
        )
        table.insert(1, "group", group)
        table.to_csv(path, index=False)
    scores = read_scores(find_runs(tmp_path))
    found = per_case(scores, "dice")["CoT"]
    # Patients c3 (images c0, c1, one of its own), c2, c4; c5 to c9 have no group.
    assert len(found) == 8
    of_image = scores[scores["method"] == "CoT"].groupby("id")["dice"].mean()
    assert found["group f0c3"] == pytest.approx(of_image[["f0c0", "f0c1", "f0c3"]].mean())
    assert found["f0c7"] == pytest.approx(of_image["f0c7"])
    assert list(compare_methods(scores, "crowd").paired_cases["pairs"]) == [8]
    page = write_cross_validation_report(tmp_path, tmp_path / "report")
    assert "10 cases, 8 apart by their groups" in page.read_text()


def test_seeds_of_a_fold_are_no_further_folds():
    rng, rows = np.random.default_rng(0), []
    folds = rng.normal(0.8, 0.05, 3)
    for method, gains in {"Baseline": (0, 0, 0), "CoT": (0.03, 0.05, 0.005)}.items():
        for fold, seed in np.ndindex(3, 3):
            dice = folds[fold] + gains[fold] + rng.normal(0, 0.003)
            rows.append((method, f"{fold} s{seed}", f"c{fold}", dice))
    scores = pd.DataFrame(rows, columns=["method", "fold", "id", "dice"])
    scores = scores.assign(label="1", trained_on="crowd", reference=False, unit=scores["id"])
    found = compare_methods(scores, "crowd")
    by_fold = scores.assign(fold=scores["fold"].str[0]).groupby(["method", "fold"])["dice"].mean()
    (row,) = found.paired_folds.itertuples()
    assert row.pairs == 3
    assert row.p == pytest.approx(stats.ttest_rel(by_fold["CoT"], by_fold["Baseline"]).pvalue)
    expected = stats.f_oneway(by_fold["CoT"], by_fold["Baseline"])
    assert found.folds.p == pytest.approx(expected.pvalue)
    # Without folds each seed is one: 9 trainings on the same split.
    alone = scores.assign(fold=[f"test s{seed}" for _ in range(2) for seed in range(9)])
    (row,) = compare_methods(alone, "crowd").paired_folds.itertuples()
    assert row.pairs == 9


def test_images_and_regions_may_be_called_na(study, tmp_path):
    folder = tmp_path / "Baseline_f0"
    shutil.copytree(study / "Baseline_f0", folder)
    rows = [HEAD, "NA,NA,0.5,inf,0.5,5,nan", "null,NA,0.7,1.0,0.5,5,nan"]
    (folder / "evaluation.csv").write_text("\n".join(rows))
    bins = (folder / "reliability.csv").read_text().replace("\n1,", "\nNA,")
    (folder / "reliability.csv").write_text(bins)
    runs = find_runs(tmp_path)
    scores = read_scores(runs)
    assert per_case(scores, "dice") == {"Baseline": {"NA": 0.5, "null": 0.7}}
    assert per_fold(scores, "dice", "NA").loc["Baseline"].tolist() == [0.6]
    assert scores["ece"].isna().all() and np.isinf(scores["asd"]).sum() == 1
    assert [list(labels) for labels in reliabilities(runs).values()] == [["NA"]]


def test_a_method_that_misses_all_has_no_distance_to_compare(study):
    scores = read_scores(find_runs(study))
    scores.loc[scores["method"] == "CoT", "asd"] = np.inf
    found = compare_methods(scores, "crowd", measure="asd")
    assert set(found.folds.tukey["A"]) | set(found.folds.tukey["B"]) == {"Baseline", "T-Loss"}
    assert "CoT" not in set(found.paired_cases["method"])


def test_equal_pairs_take_no_part_in_the_signed_rank_test():
    """Five differences of one sign: p = 2 / 2**5, however many pairs are equal."""
    base = dict.fromkeys(range(20), 0.5)
    other = {case: 0.5 + max(0, 5 - case) / 100 for case in base}
    assert paired_tests({"A": base, "B": other}, "A")["p"].tolist() == [2 / 2**5]


def test_paired_tests_equal_scipy_and_holm_by_hand():
    generator = np.random.default_rng(0)
    base = dict(enumerate(generator.random(20)))
    others = {
        name: {case: value + generator.normal(shift, 0.05) for case, value in base.items()}
        for name, shift in (("A", 0.02), ("B", 0.0), ("C", 0.06))
    }
    others["A"][99] = 0.5  # no partner
    others["B"][0] = math.inf
    table = paired_tests({"base": base, **others}, "base").set_index("method")
    assert table["pairs"].to_dict() == {"A": 20, "B": 19, "C": 20}
    p = {}
    for name, own in others.items():
        pairs = [(own[c], base[c]) for c in base if math.isfinite(own[c])]
        p[name] = stats.wilcoxon(*zip(*pairs, strict=True)).pvalue
    assert table["p"].to_dict() == pytest.approx(p)
    first, second, third = sorted(p, key=p.__getitem__)
    expected = [3 * p[first], max(3 * p[first], 2 * p[second])]
    expected.append(max(expected[1], p[third]))
    assert table.loc[[first, second, third], "p_holm"].tolist() == pytest.approx(
        np.minimum(expected, 1).tolist()
    )


def test_what_cannot_be_tested_has_no_p_value():
    values = {"base": {0: 0.5, 1: 0.6}, "same": {0: 0.5, 1: 0.6}, "other": {0: 0.6, 1: 0.7}}
    assert paired_tests(values, "base")["p"].isna().all()
    # Equal values: p = 1; a constant shift has no spread to test against.
    t = paired_tests(values, "base", "t").set_index("method")["p"]
    assert t["same"] == 1 and math.isnan(t["other"])
    with pytest.raises(ValueError, match="`baseline`"):
        paired_tests(values, "none")


@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=8),
    st.sampled_from([0, 0.1, -1 / 3]),
    st.sampled_from([1.0, 1e-3, 40.0]),
)
def test_the_last_digit_of_a_value_decides_no_test(base, shift, scale):
    """Adding and taking away leaves rounding alone, on which no p-value may rest."""
    values = {
        "base": dict(enumerate(scale * value for value in base)),
        "shifted": dict(enumerate(scale * (value + 0.7 + shift) - scale * 0.7 for value in base)),
    }
    row = paired_tests(values, "base", "t").iloc[0]
    assert row["p"] == 1 if shift == 0 else math.isnan(row["p"])
    assert row["higher"] == np.sign(shift) / 2 + 0.5


def test_a_peer_alone_is_a_further_method_outside_the_anova(study, tmp_path):
    folders = [write_run(tmp_path / f"runs/{f}", study, "CoT", f, two=False) for f in range(3)]
    for fold, folder in enumerate(folders):
        (folder / "evaluation_one_peer.csv").write_bytes((folder / "evaluation.csv").read_bytes())
        write_run(tmp_path / f"runs/b{fold}", study, "Baseline", fold, two=False)
    scores = read_scores(find_runs(tmp_path / "runs"))
    assert in_order(scores["method"]) == ["Baseline", "CoT", "CoT (one peer)"]
    found = compare_methods(scores, "crowd")
    assert set(found.paired_cases["method"]) == {"CoT", "CoT (one peer)"}
    assert len(found.folds.tukey) == 1


def test_report(study, tmp_path):
    arguments = ["crossval", str(study), "--output", str(tmp_path / "report")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    page = (tmp_path / "report/report.html").read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.html", "table1.csv", "table1.md", "table2.csv", "table2.md", "paired.csv",
        "tukey.csv", "scores.csv", "calibration.csv", "label_quality.csv", "reliability.png",
    }  # fmt: skip
    # Half of the gold mask: 2 * 8 / (16 + 8)
    assert pd.read_csv(tmp_path / "report/label_quality.csv")["dice"].tolist() == [0.66667]
    assert "12 of 12 runs are finished" in page and "<td>0.667</td>" in page
    calibration = pd.read_csv(tmp_path / "report/calibration.csv").set_index("method")
    # Of 600 voxels: |30 - 15| + |240 - 270| = 45
    assert calibration.loc["CoT", "ece"] == pytest.approx(45 / 600)
    paired = pd.read_csv(tmp_path / "report/paired.csv")
    assert set(paired["method"]) == {*GAINS} - {"Baseline"}


def test_only_masks_to_train_on_are_measured_and_lost_ones_are_counted(study, tmp_path):
    data = shutil.copytree(study.parent / "data", tmp_path / "data")
    splits = {"a": "train", "b": "train", "c": "test"}
    lines = [
        f"{id},gold/a.png,{annotator}/{'gone' if id + annotator == 'bcrowd' else 'a'}.png,"
        f"{annotator},{split}"
        for annotator in ("gold", "crowd")
        for id, split in splits.items()
    ]
    (data / "manifest.csv").write_text("\n".join(["id,image,mask,annotator,split", *lines]))
    for fold in range(2):
        config = write_run(tmp_path / f"runs/{fold}", data, "Baseline", fold) / "config.yaml"
        chosen = yaml.safe_load(config.read_text())
        chosen["data"]["train_split"] = "train"
        config.write_text(yaml.safe_dump(chosen))
    page = write_cross_validation_report(tmp_path / "runs", tmp_path / "report").read_text()
    found = pd.read_csv(tmp_path / "report/label_quality.csv")
    assert found["id"].tolist() == ["a", "b"] and found["dice"].isna().tolist() == [False, True]
    assert "1 image(s) left out" in page


def test_runs_that_are_not_alike_are_told_apart_or_named(study, tmp_path):
    runs = shutil.copytree(study, tmp_path / "runs")
    config = runs / "CoT_f2/config.yaml"
    config.write_text(config.read_text().replace("epochs: 2", "epochs: 9"))
    shutil.rmtree(runs / "T-Loss_f1")
    shutil.copytree(runs / "CoT_f0", runs / "again")
    page = write_cross_validation_report(runs, tmp_path / "report").read_text(encoding="utf-8")
    assert "not alike beyond what is compared: epochs (2 and 9)" in page
    assert "CoT_f0 has the same loss" in page or "again has the same loss" in page
    assert "T-Loss lacks fold 1" in page and "30 cases in 3 fold(s)" in page
    config.write_text(config.read_text().replace("/data", "/other"))
    with pytest.raises(ValueError, match=r"one data set.*CoT trained on .*data and .*other"):
        write_cross_validation_report(runs, tmp_path / "report")


def test_runs_without_scores_are_named(study, tmp_path):
    folder = write_run(tmp_path / "run", study, "CoT", 0)
    (folder / "evaluation.csv").unlink()
    (folder / "checkpoints").mkdir()
    assert unscored(find_runs(folder)) == [folder]
    with pytest.raises(ValueError, match="1 of which could be scored"):
        write_cross_validation_report(folder, tmp_path / "report")


def test_labels_in_their_order():
    assert natural(["tumour", "10", "2", "2"]) == ["2", "10", "tumour"]


@pytest.mark.parametrize("damage", ["a line", "an image", "a digit"])
def test_scores_that_were_cut_or_changed_are_refused(study, tmp_path, damage):
    """An image less in one table would change means, ranks and p-values in silence."""
    runs = shutil.copytree(study, tmp_path / "runs")
    path = runs / "T-Loss_f0/evaluation.csv"
    lines = path.read_text().splitlines(keepends=True)
    if damage == "a digit":
        record = RunRecord.read(path.parent)
        info = record.info | record_of(path.parent, record.config, path.name)
        (path.parent / "run.json").write_text(json.dumps(info))
        assert len(read_scores(find_runs(runs)))
        path.write_text("".join(lines).replace("0.7", "0.8", 1))
    else:
        path.write_text("".join(lines[: -1 if damage == "a line" else -2]))
    with pytest.raises(DamagedFileError, match=r"T-Loss_f0/evaluation\.csv"):
        read_scores(find_runs(runs))
    result = CliRunner().invoke(app, ["crossval", str(runs), "--output", str(tmp_path / "out")])
    assert result.exit_code == 2 and "keras-robust crossval" in result.output
    assert not (tmp_path / "out").exists()


def test_scores_that_a_finished_run_does_not_record_are_taken_anew(study, tmp_path):
    """They are those of a kill, or of the run before it was continued."""
    folder = shutil.copytree(study / "CoT_f0", tmp_path / "runs/CoT_f0")
    (folder / "checkpoints").mkdir()
    (run,) = find_runs(tmp_path)
    assert unscored([run]) == []
    whole = run.info | record_of(folder, run.config, "evaluation.csv", "reliability.csv")
    (folder / "run.json").write_text(json.dumps(whole))
    assert unscored(find_runs(tmp_path)) == [] and len(read_scores(find_runs(tmp_path)))
    (folder / "run.json").write_text(json.dumps(run.info | record_of(folder, run.config)))
    assert unscored(find_runs(tmp_path)) == [folder] and not len(read_scores(find_runs(tmp_path)))
    # Nor are scores of other masks than the run's are, since what to keep of them was decided.
    (folder / "run.json").write_text(json.dumps(whole))
    decided = {"runs": ["CoT_f0"], "keep_largest": [[1]]}
    (tmp_path / "runs/postprocessing.json").write_text(json.dumps(decided))
    assert unscored(find_runs(tmp_path)) == [folder]
    assert unscored(find_runs(tmp_path), postprocess=False) == []
    (folder / "run.json").write_text(json.dumps(whole | {SCORED_LARGEST: [[1]]}))
    assert unscored(find_runs(tmp_path)) == []
    page = write_cross_validation_report(tmp_path, tmp_path / "report").read_text(encoding="utf-8")
    assert "Only the largest part of labels: 1. This is so in 1 of 1 runs" in page
    (folder / "reliability.csv").write_text("label\n")
    assert unscored(find_runs(tmp_path)) == [folder]
