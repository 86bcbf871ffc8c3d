"""What tests of several rooms share: a small training run, a made-up study, dataset folders."""

import pytest

from tests.keras_robust.data.conftest import build, contents  # noqa: F401
from tests.keras_robust.studies.conftest import study, study_data  # noqa: F401


@pytest.fixture(scope="session")
def small_config():
    from keras_robust.data import sample_path
    from keras_robust.training import TrainConfig

    return TrainConfig(
        data={
            "path": sample_path(),
            "size": (32, 32),
            "train_limit": 13,
            "test_limit": 5,
            "cache": "memory",
        },
        noise={"alpha": 0.7, "beta": 0.7},
        model={"features": 4, "max_features": 8, "depth": 2},
        epochs=3,
        batch_size=4,
        evaluate_last=2,
        save_predictions=2,
        tensorboard=False,
    )


@pytest.fixture(scope="session")
def trained_run(small_config, tmp_path_factory):
    import warnings

    from keras_robust.training import train

    with warnings.catch_warnings():
        # Session fixtures are set up outside the filters of a test.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        return train(small_config, tmp_path_factory.mktemp("run"))
