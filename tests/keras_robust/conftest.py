"""One small training run on the packaged images, shared by all tests that need one."""

import pytest


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
