"""The form of regions that networks learn."""

Regions = tuple[tuple[int, tuple[int, ...]], ...]
"""Of each region the label that is painted where it is predicted, and the labels it holds."""
