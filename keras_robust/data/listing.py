"""What a dataset folder lists, as its layout reads it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from keras_robust.data.cases import Case
from keras_robust.data.regions import Regions

__all__ = ["Listing"]


@dataclass(frozen=True, repr=False)
class Listing:
    """The cases of a dataset folder and what holds for all of them.

    Args:
        root: Folder of the dataset.
        name: Its name.
        classes: Number of classes, background included; 2 is binary.
        cases: The cases.
        layout: "manifest", "datalist", "nnunet", "voc", "folders" and so on, or one's own; set
            when it is opened.
        ignore_label: A label that stands for "unknown" in the masks.
        sources: Folders outside `root` that the dataset may refer to.
        soft_annotators: Those whose masks are 8-bit probabilities.
        regions: Named unions of labels, such as an organ with its lesions, to evaluate as well.
        learned_regions: Those that networks may learn in place of labels, by nnU-Net's
            `regions_class_order`: the label to paint and the labels of each.
        class_names: Of the classes, background first; "" for one without, () where the dataset
            tells none.
    """

    root: Path
    name: str
    classes: int
    cases: tuple[Case, ...]
    layout: str = "manifest"
    ignore_label: int | None = None
    sources: tuple[Path, ...] = ()
    soft_annotators: tuple[str, ...] = ()
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    learned_regions: Regions = ()
    class_names: tuple[str, ...] = ()
