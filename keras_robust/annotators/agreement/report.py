"""The report of agreement: tables as CSV, and one page with pictures."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from keras_robust.annotators.agreement.figures import disagreement_panels, distributions, heat_map
from keras_robust.annotators.agreement.measure import Agreement
from keras_robust.common.files import atomic_write_text
from keras_robust.common.tables import frame_csv
from keras_robust.reports import page as html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_agreement_report"]


def write_agreement_report(
    found: Agreement, output: str | os.PathLike[str], title: str | None = None
) -> Path:
    """Write report.html, agreement.csv (pairs), groups.csv, images.csv and masks.csv.

    agreement.csv has a row per pair of annotators, groups.csv per group and pair of groups,
    images.csv per image, least agreement first, and masks.csv per image, pair and label.

    Args:
        found: From `measure_agreement`.
        output: Folder; made when missing.
        title: Heading of the page.

    Returns:
        The page.
    """
    folder = Path(output)
    for name, table in (
        ("agreement", found.pairs),
        ("groups", found.between_groups),
        ("images", found.images),
        ("masks", found.rows),
    ):
        named = table.rename(columns=lambda column: _with_unit(column, found))
        text = frame_csv(named, index=False, float_format="%.6g")
        atomic_write_text(folder / f"{name}.csv", text)
    title = title or f"Agreement of annotators: {found.dataset.name}"
    parts = [
        *map(html.paragraph, _findings(found)),
        html.heading("Groups of annotators"),
        html.table(_groups(found), text=["groups"], index=False),
        html.paragraph(_explanation(found), "soft"),
        html.heading("Pairs of annotators"),
        _picture(heat_map(found), "Mean Dice of each pair, and the images they share."),
        html.folded("All pairs", [html.table(_pairs(found), text=["annotators"], index=False)]),
        html.heading("Each annotator with the others"),
        _picture(distributions(found), "Boxes: middle half of the images; line: median."),
        html.heading("Images of least agreement"),
        _panels(found),
        html.folded("Fifty images of least agreement", [html.table(_worst(found), index=False)]),
    ]
    return atomic_write_text(folder / "report.html", html.page(title, parts))


def _findings(found: Agreement) -> list[str]:
    overall, counts = found.overall, found.images["annotators"]
    alone = sum(count == 1 for count in found.drawn.values())
    least, most = counts.min(), counts.max()
    masks = f"{least}" if least == most else f"{least} to {most}"
    element = "voxel" if _is_volume(found) else "pixel"
    sentences = [
        f"{len(counts)} images with {masks} masks each, by {len(found.annotators)} annotators; "
        f"{overall['masks_compared']:,} pairs of masks were compared."
        + (f" {alone} further images have one mask and nothing to compare." if alone else ""),
        f"Mean Dice between annotators: {_interval(overall, 'dice', 3)}. This is the label noise "
        f"of the masks: 1 would be none. Agreement per {element}, corrected for chance (Fleiss' "
        f"κ): {_interval(overall, 'fleiss_kappa', 3)}.",
    ]
    if found.unit == "pixels":
        sentences.append(
            "The dataset does not tell the spacing of every image: distances are in pixels."
        )
    return sentences


def _is_volume(found: Agreement) -> bool:
    spacing = found.dataset.cases[0].spacing
    return spacing is not None and len(spacing) == 3


def _explanation(found: Agreement) -> str:
    return (
        "Means over images, with 95 % bootstrap intervals that draw images again, those of one "
        "patient (`group`) together; an image counts once, with the mean over its pairs. "
        f"Surface: average symmetric distance in {found.unit}, of images where both drew "
        "something. Volume: the first's less the second's, relative to their mean; between "
        "annotators of one group, without its sign. Fleiss' κ corrects for agreement by chance, "
        "and is that of annotators who may change from image to image."
    )


def _groups(found: Agreement) -> pd.DataFrame:
    rows = []
    for row in found.between_groups.to_dict("records"):
        within = row["group_a"] == row["group_b"]
        volume = "absolute_volume_difference" if within else "volume_difference"
        names = f"within {row['group_a']}" if within else f"{row['group_a']} – {row['group_b']}"
        rows.append(
            {
                "groups": names,
                "images": row["images"],
                "masks compared": f"{row['masks_compared']:,}",
                "Dice": _interval(row, "dice", 3),
                f"surface ({found.unit})": _interval(row, "surface", 2),
                "volume": _percent(row, volume, signed=not within),
                "Fleiss' κ": _interval(row, "fleiss_kappa", 3) if within else "–",
            }
        )
    return pd.DataFrame(rows)


def _pairs(found: Agreement) -> pd.DataFrame:
    rows = [
        {
            "annotators": f"{row['annotator_a']} – {row['annotator_b']}",
            "images": row["images"],
            "Dice": _interval(row, "dice", 3),
            f"surface ({found.unit})": _interval(row, "surface", 2),
            "volume": _percent(row, "volume_difference", signed=True),
            "Cohen's κ": _interval(row, "cohen_kappa", 3),
        }
        for row in found.pairs.to_dict("records")
    ]
    return pd.DataFrame(rows)


def _worst(found: Agreement) -> pd.DataFrame:
    rows = [
        {
            "image": row["id"],
            "masks": row["annotators"],
            "Dice": f"{row['dice']:.3f}",
            f"surface ({found.unit})": _number(row["surface"], 2),
            "volume, without sign": f"{row['absolute_volume_difference']:.0%}",
        }
        for row in found.images.head(50).to_dict("records")
    ]
    return pd.DataFrame(rows)


def _panels(found: Agreement) -> str:
    try:
        figure = disagreement_panels(found)
    except (OSError, ValueError) as error:
        return html.paragraph(f"An image cannot be read. {error}", "note")
    return _picture(figure, "Contours of all masks; Dice is the mean over pairs.")


def _picture(figure: "Figure", caption: str) -> str:
    return html.picture(html.png(figure), caption, caption, figure.get_figwidth())


def _interval(row: Mapping[str, Any], name: str, digits: int) -> str:
    value = _number(row[name], digits)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return value if low != low else f"{value} ({low:.{digits}f} to {high:.{digits}f})"


def _percent(row: Mapping[str, Any], name: str, signed: bool) -> str:
    sign = "+" if signed else ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    value = f"{row[name]:{sign}.1%}"
    return value if low != low else f"{value} ({low:{sign}.1%} to {high:{sign}.1%})"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value == value else "–"


def _with_unit(column: str, found: Agreement) -> str:
    """Units in the names of columns."""
    power = "" if found.unit == "pixels" else "3" if _is_volume(found) else "2"
    if column in ("surface", "surface_low", "surface_high"):
        return column.replace("surface", f"surface_{found.unit}")
    if column in ("volume_a", "volume_b"):
        return f"{column}_{found.unit}{power}"
    return column
