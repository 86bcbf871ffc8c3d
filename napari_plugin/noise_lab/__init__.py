"""Simulate annotation errors: a preview, their effect on a dataset, a new annotator."""

from napari_plugin.noise_lab.widget import NoiseLabWidget

__all__ = ["NoiseLabWidget"]
