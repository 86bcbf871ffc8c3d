"""Agreement of experts and crowd in BU-BIL, held against what its description says of them.

    python scripts/agreement_bubil.py DATASET [--output docs/results/agreement] [--workers 2]

DATASET is a manifest folder of BU-BIL (Gurari et al., WACV 2015) with the annotators gold,
expert_* and crowd_*, and a column dice_vs_gold. Writes the tables groups.csv, agreement.csv and
consensus.csv, and a page. No picture is written: images stay with the data set and its notice.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from keras_robust.annotators import majority, staple
from keras_robust.annotators.agreement.measure import Agreement, measure_agreement
from keras_robust.common.files import atomic_write_text
from keras_robust.common.tables import frame_csv
from keras_robust.data import Dataset
from keras_robust.metrics import bootstrap_interval, dice

GROUPS = ("gold", "expert_*", "crowd_*")


def against_gold(found: Agreement) -> pd.DataFrame:
    """Dice of every mask with gold, as measured (`dice`) and as the manifest says (`stated`)."""
    rows = found.scores[found.scores["annotator_a"] == "gold"]
    stated = {
        (case.id, case.annotator): float(case.extra["dice_vs_gold"]) for case in found.dataset
    }
    keys = zip(rows["id"], rows["annotator_b"], strict=True)
    return rows.assign(stated=[stated[key] for key in keys])


def consensus_against_gold(dataset: Dataset) -> pd.DataFrame:
    """Dice with gold of one mask at a time, and of the consensus of a group, per image."""
    of_image: dict[str, dict[str, np.ndarray]] = {}
    for case in dataset:
        of_image.setdefault(case.id, {})[case.annotator] = dataset.read_mask(case)
    rows = []
    for id, masks in of_image.items():
        for group in ("expert", "crowd"):
            chosen = [mask for name, mask in masks.items() if name.startswith(group)]
            # Some experts' masks are gold itself: without them the question is a fair one.
            apart = [mask for mask in chosen if (mask != masks["gold"]).any()]
            rows.append(
                {
                    "id": id,
                    "group": group,
                    "masks": len(apart),
                    "one mask": np.mean([dice(mask, masks["gold"]) for mask in apart]),
                    "majority": dice(majority(apart), masks["gold"]),
                    "STAPLE": dice(staple(apart).labels, masks["gold"]),
                }
            )
    return pd.DataFrame(rows)


def page(found: Agreement, gold: pd.DataFrame, consensus: pd.DataFrame, command: str) -> str:
    counts = found.images["annotators"]
    gap = np.abs(gold["dice"] - gold["stated"])
    same = gold.assign(same=gold["dice"] == 1).groupby("annotator_b")["same"].agg(["sum", "size"])
    copies = [
        f"{row['sum']} of {row['size']} by {name}" for name, row in same.iterrows() if row["sum"]
    ]
    low = gold[gold["dice"] < 0.5].groupby("group_b").size()
    crowd = gold[gold["group_b"] == "crowd_*"]["dice"]
    one, crowd_pairs = (
        {(r["group_a"], r["group_b"]): r for r in found.between_groups.to_dict("records")}[pair]
        for pair in (("expert_*", "expert_*"), ("crowd_*", "crowd_*"))
    )
    lines = [
        "# Agreement of experts and crowd",
        "",
        "BU-BIL ([Gurari et al., 2015](https://doi.org/10.1109/WACV.2015.160)): 270 microscopy "
        "images of one cell each, every one drawn by experts and by workers of Mechanical Turk, "
        "reduced to at most 256 pixels. Tables: [groups](groups.csv), "
        "[pairs of annotators](agreement.csv), [consensus](consensus.csv).",
        "",
        "```bash",
        command,
        "```",
        "",
        "## Groups",
        "",
        "Means over images, with 95 % bootstrap intervals over images; surface distances in "
        "pixels. Within a group the difference of areas is without its sign.",
        "",
        "| | images | pairs of masks | Dice | surface distance | area | Fleiss' κ |",
        "|---|--:|--:|---|---|---|---|",
    ]
    for row in found.between_groups.to_dict("records"):
        within = row["group_a"] == row["group_b"]
        area = "absolute_volume_difference" if within else "volume_difference"
        name = f"within {row['group_a']}" if within else f"{row['group_a']} – {row['group_b']}"
        lines.append(
            f"| {name.replace('*', chr(92) + '*')} | {row['images']} | {row['masks_compared']:,} | "
            f"{row['dice']:.3f} ({row['dice_low']:.3f} to {row['dice_high']:.3f}) | "
            f"{row['surface']:.2f} | {row[area]:.1%} | "
            + (f"{row['fleiss_kappa']:.3f} |" if within else "|")
        )
    overall = found.overall
    lines += [
        "",
        f"Label noise, as the mean Dice between any two annotators: {overall['dice']:.3f} "
        f"({overall['dice_low']:.3f} to {overall['dice_high']:.3f}).",
        "",
        "## What the description says, and what the masks show",
        "",
        "| said | found |",
        "|---|---|",
        f"| 10 to 18 annotations per image | {counts.min() - 1} to {counts.max() - 1}, and gold |",
        f"| `dice_vs_gold` of every mask | the same for {len(gold):,} masks of {len(gold):,}, to "
        f"the four digits given (greatest difference {gap.max():.1e}) |"
        if gap.max() <= 5.1e-5
        else f"| `dice_vs_gold` of every mask | differs by up to {gap.max():.4f}; by more than "
        f"0.0001 for {int((gap > 1e-4).sum())} of {len(gold):,} masks |",
        f"| about 25 masks have Dice < 0.5 with gold | {int(low.sum())} "
        f"({', '.join(f'{number} of {group}' for group, number in low.items())}) |".replace(
            "*", "\\*"
        ),
        "| gold is the fusion of experts | these masks are gold, element for element: "
        f"{', '.join(copies) or 'none'}; the agreement of gold with experts above counts them |",
        "| experts agree better than the crowd | mean Dice "
        f"{one['dice']:.3f} within the experts, {crowd_pairs['dice']:.3f} within the crowd |",
        "",
        f"Of {len(crowd):,} crowd masks {int((crowd < 0.8).sum())} have Dice < 0.8 with gold: "
        "these are the wrong masks that an audit has to find.",
        "",
        "## Consensus against gold",
        "",
        "Mean Dice with gold over images, of one mask at a time and of the consensus of the group. "
        "Masks that are gold itself are left out.",
        "",
        "| group | one mask | majority | STAPLE |",
        "|---|---|---|---|",
    ]
    for group, rows in consensus.groupby("group", sort=False):
        cells = []
        for column in ("one mask", "majority", "STAPLE"):
            bounds = bootstrap_interval(rows[column])
            cells.append(f"{rows[column].mean():.3f} ({bounds[0]:.3f} to {bounds[1]:.3f})")
        lines.append(f"| {group} | {' | '.join(cells)} |")
    notice = (
        "BU-BIL is Copyright (c) 2014 Boston University, and may be redistributed with its notice; "
        "no image or mask of it is part of this page."
    )
    return "\n".join([*lines, "", notice, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--output", type=Path, default=Path("docs/results/agreement"))
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    found = measure_agreement(arguments.dataset, GROUPS, workers=arguments.workers)
    write(found, arguments.output)


def write(found: Agreement, output: Path) -> None:
    consensus = consensus_against_gold(found.dataset)
    unit = {name: name.replace("surface", "surface_pixels") for name in found.pairs}
    for name, table in (
        ("groups", found.between_groups.rename(columns=unit)),
        ("agreement", found.pairs.rename(columns=unit)),
        ("consensus", consensus),
    ):
        text = frame_csv(table, index=False, float_format="%.4g")
        atomic_write_text(output / f"{name}.csv", text)
    command = "python scripts/agreement_bubil.py DATASET"
    text = page(found, against_gold(found), consensus, command)
    atomic_write_text(output / "index.md", text)
    print(text)


if __name__ == "__main__":
    main()
