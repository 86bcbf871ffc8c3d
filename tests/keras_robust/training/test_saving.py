"""Model files are read in a process that has used nothing of the project before."""

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np

from keras_robust.data import read_mask
from keras_robust.models import CoTeaching, SmallLossSelection, UNet
from keras_robust.training import custom_objects
from keras_robust.training.patches.optimizer import PenalizedSGD

ROOT = Path(__file__).parents[3]


def test_every_class_that_is_registered_is_among_them():
    for path in sorted((ROOT / "keras_robust").rglob("*.py")):
        if "register_keras_serializable" in path.read_text():
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))

    def of_the_project(names):
        # Losses that other tests have registered for themselves are in both as well.
        return {name for name in names if name.startswith("keras_robust>")}

    assert of_the_project(keras.saving.get_custom_objects()) == of_the_project(custom_objects())


def in_a_fresh_process(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_a_fresh_process_loads_and_goes_on_training(tmp_path):
    from keras_robust.losses import SVLS, Dice, TLoss

    def build():
        return UNet((16, 16, 1), features=2, depth=1)

    model = CoTeaching(build, SmallLossSelection())
    model.compile(PenalizedSGD(penalty=1e-4), loss=SVLS(TLoss() + Dice()))
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype("float32")
    model.fit(x, x > 0, verbose=0)
    model.save(tmp_path / "pair.keras")
    np.save(tmp_path / "x.npy", x)
    script = """
        import sys
        import numpy as np
        from keras_robust.training import load_model
        model, x = load_model(sys.argv[1] + "/pair.keras"), np.load(sys.argv[1] + "/x.npy")
        np.save(sys.argv[1] + "/p.npy", model.predict(x, verbose=0))
        nu = model.losses_of_peers[0].parameters[0]
        before = float(nu.numpy())
        model.fit(x, x > 0, verbose=0)
        print(before != 0, float(nu.numpy()) != before)
    """
    assert in_a_fresh_process(script, str(tmp_path)).split() == ["True", "True"]
    found = np.load(tmp_path / "p.npy")
    np.testing.assert_allclose(found, model.predict(x, verbose=0), atol=1e-6)


def test_predict_takes_a_model_file_on_the_command_line(tmp_path):
    from PIL import Image

    UNet((32, 32, 3), features=2, depth=1).save(tmp_path / "model.keras")
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    rows = "id,image,mask,annotator,split\na,images/a.png,,,test\n"
    (tmp_path / "manifest.csv").write_text(rows)
    in_a_fresh_process(
        "from keras_robust.cli import app; app()",
        *("predict", str(tmp_path / "model.keras"), str(tmp_path)),
        *("--output", str(tmp_path / "out")),
    )
    assert read_mask(tmp_path / "out" / "a.png").shape == (32, 32)
