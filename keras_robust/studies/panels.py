"""Panels of masks: image, clean mask, noisy mask and the predictions of each loss.

Of a volume one slice is shown: across the axis along which voxels are longest, where the clean mask
has most foreground.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from keras_robust.data.files.ignored import set_aside_ignored
from keras_robust.data.files.maps import above_half, map_files, read_map
from keras_robust.data.files.names import id_of
from keras_robust.data.files.volume_header import is_volume
from keras_robust.reports.look import style, to_rgb
from keras_robust.reports.names import in_order
from keras_robust.scheduling.records import RunRecord
from keras_robust.studies.tables import label_of

AGREES, MISSING, EXCESS, NOTHING = (240, 240, 240), (64, 160, 232), (226, 94, 0), (24, 24, 28)


class PanelSource:
    """Images and masks behind the predictions of a run, read at the size of the training.

    Runs by a plan predict images as they are stored.
    """

    def __init__(self, run: RunRecord):
        """Open the data set that the configuration of `run` names.

        Raises:
            ValueError, OSError: If it is no longer there or cannot be read.
        """
        from keras_robust.annotators import clean_annotator
        from keras_robust.noise import read_log
        from keras_robust.training.records.inputs import dataset_of

        settings = run.config.get("data") or {}
        self._dataset = dataset_of(run.folder, settings["path"])
        self._planned = run.config.get("plan") is not None
        self._size = None if self._planned else tuple(settings.get("size") or (256, 256))
        trained = settings.get("annotator")
        clean = settings.get("clean_annotator") or clean_annotator(self._dataset, trained)
        if clean is None:
            raise ValueError(
                f"{settings['path']} has no clear clean annotator any more: it has "
                f"{', '.join(self._dataset.annotators) or 'none'}"
            )
        self._clean, self._annotator = clean, trained or clean
        log = run.folder / "noise.jsonl"
        if log.is_file():
            run.content(log.name)
        self._log = {entry.id: entry for entry in read_log(log)} if log.is_file() else {}
        self._cases = {(case.id, case.annotator): case for case in self._dataset.cases}
        self._slices: dict[str, tuple[int, int]] = {}

    def has_clean(self, id: str) -> bool:
        """Whether there is a clean mask of an image."""
        return (id, self._clean) in self._cases

    def split(self, id: str) -> str:
        """The split of an image."""
        return self._cases[id, self._clean].split

    def kind(self, id: str) -> str:
        """The kind of simulated error, `clean` without any."""
        return self._log[id].kind if id in self._log else "clean"

    def image(self, id: str) -> np.ndarray:
        """RGB, `(H, W, 3)` `uint8`."""
        image = self._dataset.read_image(self._cases[id, self._clean], self._size)
        return to_rgb(self.cut(id, image))

    def clean(self, id: str) -> np.ndarray:
        """Clean mask, `(H, W)` `bool`."""
        return self.cut(id, self._foreground(self._mask(id, self._clean)))

    def noisy(self, id: str) -> np.ndarray | None:
        """The mask that was trained on, if it differs from the clean one.

        None where it was simulated on the grid of a plan, which is not that of the image, and for
        a test image that only others have drawn.
        """
        if (id, self._annotator) not in self._cases:
            return None
        mask = self._mask(id, self._annotator)
        if id in self._log and self._planned:
            return None
        if id in self._log:
            known, put_back = set_aside_ignored(mask, self._dataset.ignore_label)
            mask = put_back(self._log[id].apply(known))
        elif self._annotator == self._clean:
            return None
        return self.cut(id, self._foreground(mask))

    def cut(self, id: str, array: np.ndarray) -> np.ndarray:
        """The slice of a volume that is shown; an image as it is."""
        if not is_volume(self._cases[id, self._clean].image):
            return array
        if id not in self._slices:
            clean = self._foreground(self._mask(id, self._clean))
            spacing = self._cases[id, self._clean].spacing or (1.0,) * 3
            axis = max(range(3), key=lambda number: (spacing[number], number))
            others = tuple(number for number in range(3) if number != axis)
            self._slices[id] = axis, int(clean.sum(axis=others).argmax())
        axis, index = self._slices[id]
        return np.rot90(np.take(array, index, axis))

    def _foreground(self, mask: np.ndarray) -> np.ndarray:
        return set_aside_ignored(mask, self._dataset.ignore_label)[0] > 0

    def _mask(self, id: str, annotator: str) -> np.ndarray:
        return self._dataset.read_mask(self._cases[id, annotator], self._size)


def read_prediction(run: RunRecord, id: str) -> np.ndarray:
    """Predicted foreground of one image, `(*spatial)` `bool`: probability above one half."""
    folder = run.folder / "predictions"
    for path in map_files(folder, id, 1, ".png") + map_files(folder, id, 1, ".nii.gz"):
        if path.is_file():
            run.content(f"predictions/{path.name}")  # as it was written
    return above_half(read_map(folder, id)[..., 0])


def difference(mask: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """A mask coloured by its errors against the clean one, `(H, W, 3)` `uint8`."""
    picture = np.full((*mask.shape, 3), NOTHING, np.uint8)
    picture[mask & clean] = AGREES
    picture[clean & ~mask] = MISSING
    picture[mask & ~clean] = EXCESS
    return picture


def mask_panels(
    runs: Sequence[RunRecord], noisy_rows: int = 3, test_rows: int = 3, cell_inches: float = 1.25
) -> Figure | None:
    """Rows of images: as it is, clean mask, noisy mask, and every loss's prediction.

    Masks are coloured by their errors against the clean one. Training images come first, with the
    kinds of noise taking turns, then test images, whose noisy masks, if any, are not shown.

    Args:
        runs: Runs of one noise setting and fold, one per loss.
        noisy_rows: Training images with a noisy mask.
        test_rows: Test images.
        cell_inches: Width of one picture.

    Returns:
        The figure; None if the runs kept no prediction of a common image.

    Raises:
        ValueError, OSError: If the data set is no longer where the runs found it.
    """
    by_label = {label_of(run): run for run in runs}
    labels = in_order(by_label)
    kept = [_predicted(run) for run in runs]
    common = sorted(set.intersection(*kept)) if kept else []
    if not common:
        return None
    source = PanelSource(by_label[labels[0]])
    common = [id for id in common if source.has_clean(id)]
    noisy = _taking_turns([id for id in common if source.kind(id) != "clean"], source)
    tested = set.union(*map(_tested, runs))
    if not noisy:
        noisy = [id for id in common if id not in tested and source.noisy(id) is not None]
    test = [id for id in common if id in tested]
    ids = noisy[:noisy_rows] + test[:test_rows]
    if not ids:
        return None
    columns = ["image", "clean mask"] + (["noisy mask"] if noisy else []) + labels
    with style():
        size = (cell_inches * len(columns) + 0.3, (cell_inches + 0.22) * len(ids) + 0.75)
        layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
        figure = Figure(figsize=size, layout=layout)
        axes = figure.subplots(len(ids), len(columns), squeeze=False)
        for row, id in zip(axes, ids, strict=True):
            clean = source.clean(id)
            noise = source.noisy(id) if noisy else None
            cells: list[tuple[np.ndarray | None, str]] = [(source.image(id), "")]
            cells.append((difference(clean, clean), ""))
            if noisy:
                cells.append(_compared(noise, clean, source.kind(id)))
            for label in labels:
                prediction = source.cut(id, read_prediction(by_label[label], id))
                cells.append(_compared(prediction, clean))
            for axis, (picture, caption) in zip(row, cells, strict=True):
                _show(axis, picture, caption)
            row[0].set_ylabel("training" if id in noisy else "test", fontsize=9, color="#555555")
        for axis, title in zip(axes[0], columns, strict=True):
            axis.set_title(_wrapped(title), fontsize=9, loc="center")
        figure.legend(
            handles=[
                _patch(AGREES, "as in the clean mask"),
                _patch(EXCESS, "too much"),
                _patch(MISSING, "missing"),
            ],
            loc="outside lower center",
            ncols=3,
            fontsize=9,
        )
    return figure


def _predicted(run: RunRecord) -> set[str]:
    """Ids of the images whose predictions are there."""
    names = [path.name for path in (run.folder / "predictions").glob("*")]
    return {
        id_of(name.removesuffix(suffix))
        for suffix in (".png", ".nii.gz")
        for name in names
        if name.endswith(suffix)
    }


def _tested(run: RunRecord) -> set[str]:
    """Ids of the images that the run was tested on; in a fold, of any split."""
    return set(run.tested["id"])


def _compared(mask: np.ndarray | None, clean: np.ndarray, kind: str = "") -> tuple[Any, str]:
    from keras_robust.metrics import dice

    if mask is None:
        return None, ""
    note = f"{kind}, " if kind and kind != "clean" else ""
    return difference(mask, clean), f"{note}{float(dice(mask, clean)):.2f}"


def _taking_turns(ids: Sequence[str], source: PanelSource) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for id in ids:
        kinds.setdefault(source.kind(id), []).append(id)
    turns = max((len(group) for group in kinds.values()), default=0)
    return [group[i] for i in range(turns) for group in kinds.values() if i < len(group)]


def _show(axis: Any, picture: np.ndarray | None, caption: str) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    if picture is None:
        axis.set_facecolor("none")
        return
    axis.imshow(picture, interpolation="nearest")
    if caption:
        axis.set_xlabel(caption, fontsize=8, labelpad=2)


def _wrapped(title: str) -> str:
    return title.replace(" (", "\n(").replace("+", "+\n", 1) if len(title) > 9 else title


def _patch(colour: tuple[int, int, int], label: str) -> Patch:
    red, green, blue = (value / 255 for value in colour)
    return Patch(facecolor=(red, green, blue), edgecolor="#888888", label=label)
