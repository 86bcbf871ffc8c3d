"""What the child process does that audits a dataset; it imports TensorFlow, the window does not."""

from napari_plugin.work.child import Channel

__all__ = ["run_audit"]


def run_audit(
    channel: Channel, dataset: str, output: str, annotator: str | None, epochs: int | None
) -> str:
    """Audit a dataset, telling (stage, done, total) on the way; return the folder of the audit."""
    from keras_robust.audit.run import audit

    def progress(stage: str, done: int, total: int) -> None:
        channel.send((stage, done, total))

    audit(dataset, output, annotator=annotator, epochs=epochs, progress=progress)
    return output
