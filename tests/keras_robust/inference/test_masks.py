"""The mask that a prediction becomes, wherever it is written or measured."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from keras_robust.inference import Predictor, evaluate, predict
from keras_robust.inference.masks import MaskRule

# Drawn is a square of 4 pixels; bright are it and one pixel more, which the model takes for part of
# it: Dice 2 * 4 / (5 + 4) = 8/9, and 1 once only the largest part is kept.
DRAWN = [(1, 1), (1, 2), (2, 1), (2, 2)]
BRIGHT = [*DRAWN, (6, 6)]


@pytest.fixture
def squares(tmp_path):
    folder = tmp_path / "squares"
    for name, bright, scale in (("images", BRIGHT, 255), ("masks", DRAWN, 1)):
        (folder / name).mkdir(parents=True)
        pixels = np.zeros((8, 8), np.uint8)
        pixels[tuple(zip(*bright, strict=True))] = scale
        Image.fromarray(pixels).save(folder / name / "one.png")
    return folder


@pytest.fixture
def model(tmp_path):
    """Foreground where it is bright; what to keep of it was decided."""
    layer = keras.layers.Conv2D(1, 1, activation="sigmoid")
    network = keras.Sequential([keras.Input((8, 8, 1)), layer])
    layer.set_weights([np.full((1, 1, 1, 1), 9.0), np.zeros(1)])
    path = tmp_path / "runs" / "bright.keras"
    path.parent.mkdir()
    network.save(path)
    decided = {"runs": ["bright.keras"], "keep_largest": [[1]]}
    (path.parent / "postprocessing.json").write_text(json.dumps(decided))
    return path


@pytest.mark.parametrize(("postprocess", "dice"), [(True, 1.0), (False, 8 / 9)])
def test_what_is_measured_is_what_is_written(squares, model, tmp_path, postprocess, dice):
    predict(model, squares, tmp_path / "masks", postprocess=postprocess)
    written = evaluate(tmp_path / "masks", squares)
    measured = evaluate(model, squares, postprocess=postprocess)
    assert written.mean == measured.mean == pytest.approx(dice)
    assert measured.largest == (((1,),) if postprocess else ())


def test_only_the_grid_of_training_and_what_is_in_memory_are_as_predicted(squares, model):
    assert evaluate(model, squares, grid="trained").mean == pytest.approx(8 / 9)
    predictor = Predictor.load(model)
    assert evaluate(predictor, squares).mean == pytest.approx(8 / 9)
    assert MaskRule.of(predictor).largest == () and MaskRule.of(model).largest == ((1,),)
