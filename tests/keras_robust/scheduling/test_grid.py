import pytest
import yaml
from pydantic import ValidationError

from keras_robust.scheduling.grid import BenchmarkConfig, LossEntry


def names(config):
    return [run.name for run in config.runs()]


def test_first_seed_of_everything_comes_first():
    config = BenchmarkConfig(losses=["t", "ngce+rce"], noise=[(0, 0), (0.7, 0.7)], seeds=[3, 1])
    assert names(config) == [
        "t_a0_b0_s3", "ngce+rce_a0_b0_s3", "t_a0.7_b0.7_s3", "ngce+rce_a0.7_b0.7_s3",
        "t_a0_b0_s1", "ngce+rce_a0_b0_s1", "t_a0.7_b0.7_s1", "ngce+rce_a0.7_b0.7_s1",
    ]  # fmt: skip


def test_settings_without_noise_are_one():
    config = BenchmarkConfig(losses=["t"], noise=[(0, 0.5), (0, 0.7), (0.3, 0.5)], seeds=[0])
    assert names(config) == ["t_a0_b0_s0", "t_a0.3_b0.5_s0"]
    clean, noisy = config.runs()
    assert clean.config["noise"] is None
    assert noisy.config["noise"] == {"alpha": 0.3, "beta": 0.5, "seed": 0}


def test_noise_follows_the_seed_unless_the_base_fixes_it():
    free = BenchmarkConfig(losses=["t"], seeds=[4])
    fixed = BenchmarkConfig(base={"noise": {"seed": 9, "kinds": ["erode"]}}, losses=["t"])
    assert free.runs()[0].config["noise"]["seed"] == 4
    expected = {"seed": 9, "kinds": ["erode"], "alpha": 0.7, "beta": 0.7}
    assert fixed.runs()[0].config["noise"] == expected


def test_starts_of_nu_run_last_at_the_hardest_setting():
    config = BenchmarkConfig(
        losses=["t", "mae"], noise=[(0.7, 0.7), (0, 0)], seeds=[0], nu_tilde=[-4, 0, 4]
    )
    assert names(config)[-2:] == ["t-nu_tilde=-4_a0.7_b0.7_s0", "t-nu_tilde=4_a0.7_b0.7_s0"]
    assert len(config.runs()) == 6  # the start at 0 is the main run of T-Loss
    assert config.runs()[-1].config["loss_options"] == {"nu_tilde": 4.0}
    assert [run.start for run in config.runs()] == [False] * 4 + [True] * 2
    # A reference on other masks, or two peers, is no start of T-Loss on the masks of the others.
    for entry in ({"name": "t", "annotator": "gold"}, {"name": "t", "selection": {"name": "cot"}}):
        config = BenchmarkConfig(losses=[entry], noise=[(0, 0)], seeds=[0], nu_tilde=[0])
        assert names(config)[-1] == "t-nu_tilde=0_a0_b0_s0"


def test_options_and_labels():
    entry = {"name": "t", "options": {"event": "voxel"}, "label": "T-Loss per voxel"}
    run = BenchmarkConfig(
        losses=["t", entry, {"name": "gce", "options": {"q": 0.5}}], seeds=[0]
    ).runs()
    assert [r.name for r in run] == [
        "t_a0.7_b0.7_s0", "t-event=voxel_a0.7_b0.7_s0", "gce-q=0.5_a0.7_b0.7_s0",
    ]  # fmt: skip
    assert run[1].label == "T-Loss per voxel"


def test_folder_names_hold_no_separators():
    assert "/" not in LossEntry(name="../t", options={"x": "a/b"}).slug


@pytest.mark.parametrize(
    ("entries", "folders"),
    [
        (["李", "王"], ["t-李", "t-王"]),
        (["expert 1", "Müller"], ["t-expert1", "t-Müller"]),  # ASCII as ever
    ],
)
def test_letters_of_any_script_stay_in_folder_names(entries, folders):
    losses = [{"name": "t", "annotator": annotator} for annotator in entries]
    config = BenchmarkConfig(losses=losses, seeds=[0])
    assert names(config) == [f"{folder}_a0.7_b0.7_s0" for folder in folders]


def test_losses_whose_folders_would_meet_have_one_each():
    losses = [{"name": "gce", "options": {"q": q}} for q in (0.1234567, 0.1234568)]
    losses += [{"name": "t", "annotator": annotator} for annotator in ("expert 1", "expert1")]
    found = names(BenchmarkConfig(losses=losses, seeds=[0]))
    assert len(set(found)) == 4
    # The first keeps the name that it has alone.
    assert found[0] == "gce-q=0.123457_a0.7_b0.7_s0" and found[2] == "t-expert1_a0.7_b0.7_s0"
    assert found[:2] == names(BenchmarkConfig(losses=losses[:2], seeds=[0]))


@pytest.mark.parametrize(
    "fields",
    [
        {"losses": []},
        {"losses": ["t", "t"]},
        {"losses": ["t-cot", {"name": "t", "selection": {"name": "cot"}, "label": "another"}]},
        {"losses": ["t"], "noise": [(1.2, 0.5)]},
        {"losses": ["t"], "seeds": []},
        {"losses": ["t"], "epoch": 3},
    ],
)
def test_senseless_studies_are_refused(fields):
    with pytest.raises(ValidationError):
        BenchmarkConfig(**fields)


def test_yaml_round_trip(tmp_path):
    config = BenchmarkConfig(losses=["t", {"name": "sce", "options": {"alpha": 1.0}}])
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert BenchmarkConfig.load(path) == config
    path.write_text("- t\n")
    with pytest.raises(ValueError, match="Expected a YAML file with the keys"):
        BenchmarkConfig.load(path)


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("losses: [t\nnoise: {")
    with pytest.raises(ValueError, match=r"(?s)broken\.yaml.*line 2"):
        BenchmarkConfig.load(path)


def test_methods_with_two_peers_become_a_loss_and_a_selection():
    entries = ["cot", {"name": "hrl", "options": {"alpha": 4.0, "sigma": 0.5}}]
    entries.append({"name": "t+dice", "selection": {"name": "stocot", "options": {"beta": 3.0}}})
    runs = BenchmarkConfig(losses=entries, noise=[(0, 0)], seeds=[0]).runs()
    parts = [(r.config["loss"], r.config["loss_options"], r.config["selection"]) for r in runs]
    assert parts == [
        ("ce+dice", {}, {"name": "cot", "options": {}}),
        ("svls-apl2", {"sigma": 0.5}, {"name": "stocot", "options": {"alpha": 4.0}}),
        ("t+dice", {}, {"name": "stocot", "options": {"beta": 3.0}}),
    ]
    assert [r.name for r in runs] == [
        "cot_a0_b0_s0", "hrl-alpha=4-sigma=0.5_a0_b0_s0", "t+dice-stocot-beta=3_a0_b0_s0",
    ]  # fmt: skip


def test_folds_and_annotators():
    config = BenchmarkConfig(
        base={"data": {"path": "cells", "annotator": "crowd"}},
        losses=["t", {"name": "t", "annotator": "gold", "label": "T-Loss (ref.)"}],
        noise=[(0, 0)],
        folds=2,
        seeds=[0],
    )
    assert names(config) == [
        "t_a0_b0_f0_s0", "t-gold_a0_b0_f0_s0", "t_a0_b0_f1_s0", "t-gold_a0_b0_f1_s0",
    ]  # fmt: skip
    crowd, gold = (run.config["data"] for run in config.runs()[2:])
    assert crowd == {"path": "cells", "annotator": "crowd", "fold": [1, 2]}
    assert gold == crowd | {"annotator": "gold"}


def test_a_method_with_two_selections_is_refused():
    with pytest.raises(ValidationError, match="Expected none beside a method"):
        LossEntry(name="hrl", selection={"name": "cot"})


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("selection", {"selection": {"name": "cot"}}),
        ("loss_options", {"loss_options": {"q": 0.1}}),
        ("noise.alpha", {"noise": {"kinds": ["erode"], "alpha": 0.3}}),
        ("data.fold", {"data": {"fold": [0, 5]}}),
    ],
)
def test_what_the_study_varies_is_not_in_the_base(name, base):
    with pytest.raises(ValidationError, match=f"Expected no '{name}'"):
        BenchmarkConfig(base=base, losses=["t"], folds=3)


@pytest.mark.parametrize("base", [{"data": "lesions"}, {"noise": 0.7}])
def test_a_section_that_is_none_is_refused(base):
    with pytest.raises(ValidationError, match="Expected a mapping of fields as '(data|noise)'"):
        BenchmarkConfig(base=base, losses=["t"], folds=3)


def test_a_study_without_folds_may_have_one_in_the_base():
    base = {"data": {"fold": [1, 3]}}
    assert BenchmarkConfig(base=base, losses=["t"]).runs()[0].config["data"] == base["data"]
