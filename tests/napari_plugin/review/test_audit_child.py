"""What the child process of an audit does, without the training."""

import inspect

from keras_robust.audit import run as module
from napari_plugin.review.audit_child import run_audit


class Channel:
    def __init__(self):
        self.told = []

    def send(self, message):
        self.told.append(message)


def test_the_child_audits_and_tells_how_far_it_is(monkeypatch):
    called = {}
    real = inspect.signature(module.audit)

    def audit(*args, **options):
        called.update(real.bind(*args, **options).arguments)
        options["progress"]("training", 1, 5)

    monkeypatch.setattr(module, "audit", audit)
    channel = Channel()
    assert run_audit(channel, "lesions", "lesions-audit", "clinic", None) == "lesions-audit"
    assert channel.told == [("training", 1, 5)]
    assert (called["dataset"], called["output"]) == ("lesions", "lesions-audit")
    assert called["changes"] == {"annotator": "clinic", "epochs": None}
