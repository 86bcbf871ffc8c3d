"""The error of files that are there but hold nothing that can be read."""

from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "VOLUME_SUFFIXES", "UnreadableImageError"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
VOLUME_SUFFIXES = (".nii.gz", ".nii")


class UnreadableImageError(ValueError):
    """A file that is there but does not decode: `path`, `reason`, `truncated` (ends too early)."""

    def __init__(self, path: Path, reason: str):
        self.path, self.reason = path, reason
        self.truncated = "truncated" in reason
        super().__init__(
            f"Invalid value for argument `path`. Expected a readable image "
            f"({', '.join((*IMAGE_SUFFIXES, *VOLUME_SUFFIXES))}). Received: path={str(path)!r} "
            f"({reason}). Restore the file from its source; `keras-robust verify` lists all such "
            "files at once."
        )
