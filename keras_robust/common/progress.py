"""The shape in which long work tells its progress, for whoever shows it."""

from collections.abc import Callable, Mapping

__all__ = ["FiguresProgress", "Progress", "StageProgress"]

Progress = Callable[[int, int], None]
"""Called as `progress(done, total)`."""

StageProgress = Callable[[str, int, int], None]
"""Called as `progress(stage, done, total)`: work of several stages."""

FiguresProgress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called as `progress(stage, done, total, figures)`: training, with its figures so far."""
