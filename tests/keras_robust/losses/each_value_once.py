"""A plugin of pytest for repetitions: of combined parameters, what shows each value once.

Where a test takes every loss in every shape, a backend that repeats it takes every loss and every
shape, but not every pair.
"""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    shown = {}
    kept, left_out = [], []
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {None: None}
        values = {(name, repr(value)) for name, value in parameters.items()}
        before = shown.setdefault((item.path, item.originalname), set())
        (left_out if values <= before else kept).append(item)
        before |= values
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
