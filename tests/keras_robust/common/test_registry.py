"""Things of one's own: registered in the process, by a module of the environment, by a package."""

import os
import subprocess
import sys
import warnings

import keras
import pytest
from keras import ops

from keras_robust import losses
from keras_robust.common import registry
from keras_robust.common.registry import Registry
from keras_robust.models import build_network, register_network, robust_method
from keras_robust.training import train

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@losses.register("cubes")
class Cubes(losses.VoxelLoss):
    def __init__(self, power: float = 3.0, **options):
        super().__init__(**options)
        self.power = power

    def values(self, targets, predictions):
        return ops.mean(ops.abs(targets - predictions) ** self.power, axis=-1)

    def get_config(self):
        return {**super().get_config(), "power": self.power}


@register_network("pointwise")
def pointwise(input_shape, classes):
    inputs = keras.Input(input_shape)
    last = keras.layers.Conv2D(classes, 1, activation="sigmoid", dtype="float32")
    return keras.Model(inputs, last(inputs))


def test_both_train_by_their_names(small_config, tmp_path):
    config = small_config.model_copy(
        update={
            "loss": "cubes+dice",
            "loss_options": {"power": 2.0},
            "model": small_config.model.model_copy(update={"name": "pointwise"}),
            "noise": None,
            "epochs": 1,
        }
    )
    run = train(config, tmp_path)
    assert run.load_model().count_params() == 4  # three channels and a bias
    assert run.config.loss == "cubes+dice"


def test_a_loss_is_copied_with_its_options():
    loss = losses.get("svls-cubes", power=4.0, sigma=0.5)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert copy.get_config() == loss.get_config()
    y, p = [[[1, 0, 2]]], [[[[0.2, 0.5, 0.3], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]]]
    assert float(copy(y, p)) == float(loss(y, p))


def test_methods_take_it():
    assert robust_method("cubes", power=2.0).loss.power == 2.0
    assert robust_method("stocot", loss="svls-cubes").loss.sigma == 1.0
    assert type(robust_method("cot", loss=Cubes()).loss) is Cubes
    with pytest.raises(ValueError, match="Expected.*'cubes'") as caught:
        robust_method("cubus")
    assert "stocot" in caught.value.__notes__[0]


def test_a_module_that_the_environment_names(monkeypatch, tmp_path):
    (tmp_path / "my_own_losses.py").write_text(
        "from keras_robust import losses\n"
        "@losses.register('own_ce')\n"
        "class OwnCE(losses.CE):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for modules, fails in (("my_own_losses", False), ("no_such_module", True)):
        monkeypatch.setenv(registry.VARIABLE, modules)
        registry.import_own.cache_clear()
        if fails:
            with pytest.raises(ValueError, match="no_such_module"):
                losses.get("ce")
        else:
            assert type(losses.get("own_ce")).__name__ == "OwnCE"
    monkeypatch.delenv(registry.VARIABLE)
    registry.import_own.cache_clear()


def test_names_that_cannot_be():
    with pytest.raises(ValueError, match="none of"):
        losses.register("ce")
    with pytest.raises(ValueError, match="small letters"):
        losses.register("my+loss")
    with pytest.raises(ValueError, match="SegmentationLoss"):
        losses.register("own")(dict)
    with pytest.raises(ValueError, match="small letters"):
        register_network("unet")
    with pytest.raises(ValueError, match=r"model\.name"):
        build_network("nobody", (8, 8, 3), 1)
    with pytest.raises(ValueError, match="cubes"):
        losses.get("nobody")


def installed(folder, name, modules, **groups):
    """A package as pip leaves it: modules, and the metadata of its entry points."""
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[keras_robust.{group}]\n{entries}\n" for group, entries in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


def python(folder, program, *arguments):
    """What a new process prints that finds the package."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()])}
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", program]
    run = subprocess.run([*command, *arguments], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    return run


WITHOUT_KERAS = """
import numpy as np
from keras_robust import data, noise, suspicion

print("imported")

@suspicion.register_score("flat", "How much the mask is like a board.")
def flat(comparison):
    return float(comparison.labels.mean())

@noise.register("nothing", draw=lambda own, allowed, draw: {})
def nothing(own, allowed):
    return own.copy()

@data.register_layout("twins", "left", words="Twins")
def read(root):
    return data.Listing(root, root.name, 2, tuple(
        data.Case(p.stem, p, root / "right" / p.name, "twin", "train")
        for p in (root / "left").iterdir()
    )), []
"""
WITH_KERAS = """
import keras
from keras import ops
from keras_robust import losses, models

class Squares(losses.VoxelLoss):
    "Squared differences."

    def values(self, targets, predictions):
        return ops.mean(ops.square(targets - predictions), axis=-1)

@models.register_network("pointwise")
def network(input_shape, classes):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Conv2D(classes, 1, activation="sigmoid")(inputs))

@models.register_selection("surest")
class Surest(models.Selection):
    def __init__(self, least: float = 0.5, **options):
        super().__init__(**options)
        self.least = least

    def choose(self, trust, candidates, disagree, epoch, seed):
        return ops.logical_and(candidates, trust > self.least)

    def get_config(self):
        return {**super().get_config(), "least": self.least}
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return installed(
        tmp_path_factory.mktemp("site"),
        "stranger",
        {
            "stranger_light": WITHOUT_KERAS,
            "stranger_heavy": WITH_KERAS,
            "stranger_broken": "import a_library_that_is_absent",
        },
        scores="flat = stranger_light:flat\ngone = stranger_broken:score",
        layouts="twins = stranger_light:read\nlost = stranger_broken",
        noises="nothing = stranger_light:nothing",
        losses="squares = stranger_heavy:Squares\nce = stranger_heavy:Squares",
        networks="pointwise = stranger_heavy:network",
        selections="surest = stranger_heavy:Surest",
    )


def test_what_a_package_offers_is_as_the_projects_own_without_keras(package, tmp_path):
    program = """
import sys, warnings
import numpy as np
from PIL import Image
import keras_robust as kr
from keras_robust.methods import find_method, loss_menu, peer_menu
from keras_robust.suspicion import SCORES, Judged, score_masks
found = [*SCORES]
assert not any(name.startswith("stranger") for name in sys.modules)  # listed, not imported
assert "flat" in found and SCORES["surface"] and "stranger_light" not in sys.modules
assert "package stranger" in loss_menu()["squares"] and "ce+dice-surest" in peer_menu()
assert loss_menu()["ce"] == "Cross entropy"
assert find_method("ce+dice-surest") == ("ce+dice", "surest")

root = sys.argv[1]
mask = np.zeros((8, 8), np.uint8); mask[2:6, 2:6] = 255
for folder in ("left", "right"):
    (__import__("pathlib").Path(root) / folder).mkdir()
    Image.fromarray(mask).save(f"{root}/{folder}/a.png")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    dataset = kr.data.Dataset.open(root)
    scores = score_masks(lambda: [Judged("a", mask > 0, np.full((8, 8, 1), 0.5))])[0].scores
said = " ".join(str(one.message) for one in caught)
assert dataset.layout == "twins" and dataset.annotators == ("twin",), dataset
assert scores["flat"] == 0.25 and "gone" not in scores and "gone" not in SCORES
assert "stranger" in said and "a_library_that_is_absent" in said and "pip install" in said, said
assert SCORES.words("flat") == "How much the mask is like a board."
try:
    score_masks(lambda: [], scores=["gone"])
except ValueError as error:
    assert "stranger" in str(error) and "'flat'" in str(error), error
assert not {"keras", "tensorflow"} & set(sys.modules)
"""
    assert python(package, program, str(tmp_path)).stdout == "imported\n"


def test_what_a_package_offers_trains(package):
    program = """
import tempfile, warnings
import keras, numpy as np
from keras_robust import losses, models
from keras_robust.training import TrainConfig
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert "squares" in losses.names()
assert "'ce'" in str(caught[0].message) and "stranger" in str(caught[0].message)
assert type(losses.get("ce")).__name__ == "CE"
assert losses.get("squares+dice").losses[0].get_config()["reduction"]
assert float(losses.get("squares")([[1, 0]], [[[0.5], [0.5]]])) == 0.25
config = TrainConfig(data={"path": "x"}, selection={"name": "surest", "options": {"least": 0.1}})
try:
    TrainConfig(data={"path": "x"}, selection={"name": "nobody"})
except ValueError as error:
    assert "'surest'" in str(error) and "keras_robust.selections" in str(error), error
method = models.robust_method("squares-surest", least=0.2, balanced=True)
assert (method.selection.least, method.selection.balanced) == (0.2, True)
model = method.model(lambda: models.build_network("pointwise", (4, 4, 1), classes=1))
model.compile("adam", method.loss, run_eagerly=True)
images = np.random.default_rng(0).uniform(size=(2, 4, 4, 1))
model.fit(images, images > 0.5, verbose=0)
path = tempfile.mkdtemp() + "/model.keras"
model.save(path)
assert keras.models.load_model(path).selection.least == 0.2
"""
    python(package, program)


def test_the_command_line_knows_it(package, tmp_path):
    program = """
import csv, json, sys, warnings
from pathlib import Path
import numpy as np
from PIL import Image
from typer.testing import CliRunner
from keras_robust.cli import app
warnings.simplefilter("ignore")

def run(*words):
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    return done.output

for command, word in (
    ("audit", "flat"), ("verify", "Twins"), ("train", "squares"), ("simulate", "nothing")
):
    assert word in run(command, "--help"), command
assert not {"keras", "tensorflow"} & set(sys.modules)
root, given, out = (Path(sys.argv[1]) / name for name in ("twins", "given", "out"))
for number in range(3):
    mask = np.zeros((16, 16), np.uint8)
    mask[2 : 6 + number, 2:6] = 255
    for folder in (root / "left", root / "right", given):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(folder / f"{number}.png")
audit = ("audit", root, "--predictions", given, "--output", out)
said = run(*audit, "--score", "flat", "--score", "surface")
rows = list(csv.DictReader((out / "audit.csv").open()))
assert [row["id"] for row in rows] == ["2", "1", "0"], said
assert [256 * float(row["score"]) for row in rows] == [24, 20, 16] and rows[0]["surface"]
assert "How much the mask is like a board." in (out / "report.html").read_text()
assert "'flat'" in run(*audit, "--score", "board")
noisy = Path(sys.argv[1]) / "noisy"
said = run("simulate", root, "--alpha", 1, "--beta", 0.5, "--kinds", "nothing", "--output", noisy)
assert "3 of 3 masks are noisy" in said, said
assert "'nothing'" in run("simulate", root, "--alpha", 1, "--beta", 0.5, "--kinds", "nobody")
"""
    python(package, program, str(tmp_path))


def test_importing_the_package_looks_for_no_entry_points(package):
    program = """
import importlib.metadata as metadata
asked = []
genuine = metadata.entry_points
metadata.entry_points = lambda **given: asked.append(given) or genuine(**given)
import keras_robust
import keras_robust.losses, keras_robust.suspicion, keras_robust.data
keras_robust.data.sample(), keras_robust.suspicion.SCORES["surface"]
print(asked)
"""
    assert python(package, program).stdout == "[]\n"


@pytest.fixture
def things(tmp_path, monkeypatch):
    """A registry that a package offers to, and the package's file."""
    folder = installed(
        tmp_path,
        "shop",
        {"shop": "good = print\nraise_later = None"},
        things="good = shop:good\nabsent = shop:nothing\nBad-Name = shop:good\nours = shop:good",
    )
    monkeypatch.syspath_prepend(folder)
    registry.offered.cache_clear()
    yield Registry("thing", "keras_robust.things", {"ours": len, "late": "json:dumps"})
    registry.offered.cache_clear()
    sys.modules.pop("shop", None)


def test_names_are_listed_before_anything_is_imported(things):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert list(things) == ["ours", "late", "good", "absent"]
    assert "shop" not in sys.modules
    said = [str(one.message) for one in caught]
    assert len(said) == 2 and all("package shop" in one for one in said)
    assert any("'Bad-Name'" in one for one in said) and any("'ours'" in one for one in said)


@pytest.mark.filterwarnings("ignore:The thing '(Bad-Name|ours)'")
def test_a_thing_that_cannot_be_imported_costs_no_other(things):
    assert "absent" in things
    with pytest.warns(UserWarning, match="'absent' of the package shop.*pip uninstall shop"):
        assert dict(things.each()) == {"ours": len, "late": __import__("json").dumps, "good": print}
    assert "absent" not in things and list(things) == ["ours", "late", "good"]
    with pytest.raises(ValueError, match=r"one of \['ours', 'late', 'good'\].*package shop"):
        things.find("absent")
    with pytest.raises(ValueError, match="KERAS_ROBUST_IMPORT.*keras_robust.things"):
        things.find("nobody")


@pytest.mark.filterwarnings("ignore:The thing '(Bad-Name|ours)'")
def test_what_the_process_registers_stands_before_what_a_package_offers(things):
    things.register("good")(max)
    assert things["good"] is max and "shop" not in sys.modules
    for name in ("ours", "late", "Good", "a-b", ""):
        with pytest.raises(ValueError, match="`name`"):
            things.register(name)
