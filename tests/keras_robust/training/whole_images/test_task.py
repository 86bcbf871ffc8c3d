from types import SimpleNamespace

import numpy as np

from keras_robust.training.whole_images.task import memorisation


def test_mistakes_count_together_and_the_default_kinds_apart():
    kinds = np.array(["clean", "erode", "hole", "cut", "erode"], dtype=object)
    scores = SimpleNamespace(per_image=np.array([1.0, 0.5, 0.2, 0.4, 0.7]))
    columns = memorisation(scores, kinds)
    assert {name: round(value, 9) for name, value in columns.items()} == {
        "dice_train": 0.56,
        "dice_train_clean": 1.0,
        "dice_train_erode": 0.6,
        "dice_train_mistakes": 0.3,
    }
