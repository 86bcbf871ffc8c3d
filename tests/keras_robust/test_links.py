"""The links of README and documentation: those within the project lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = "https://keras-robust.readthedocs.io/en/latest/"
FILES = re.compile(r"https://(?:raw\.githubusercontent|github)\.com/keras-robust/keras-robust/(.*)")
HOW_TOS = sorted({*(ROOT / "docs/how-to").glob("*.md")} - {ROOT / "docs/how-to/index.md"})
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def links(page):
    """The targets of a page's links and pictures, code left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page):
    """The anchors of a page's headings, as its site makes them."""
    found = set()
    for line in page.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ (.+)", line):
            plain = re.sub(r"[^\w\s-]", "", heading[1]).strip().lower()
            found.add(re.sub(r"[-\s]+", "-", plain))
    return found


def place(target, page):
    """The file that a link within the project means; None for one that leads elsewhere."""
    path, _, anchor = target.partition("#")
    if path.startswith(SITE):
        name = path.removeprefix(SITE).strip("/") or "index"
        docs = (ROOT / "docs" / f"{name}.md", ROOT / "docs" / name / "index.md")
        return next((file for file in docs if file.is_file()), docs[0]), anchor
    if in_repository := FILES.match(path):
        name = re.sub(r"^(?:blob/|tree/)?main/", "", in_repository[1])
        return (ROOT / name if name != in_repository[1] else None), anchor
    if re.match(r"[a-z]+:", path):
        return None, anchor
    return (page.parent / path if path else page), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_within_the_project_lead_somewhere(page):
    lost = []
    for target in links(page):
        file, anchor = place(target, page)
        if file is None:
            continue
        if not file.exists():
            lost.append(target)
        elif anchor and file.suffix == ".md" and "reference" not in file.parts:
            lost += [target] if anchor not in anchors(file) else []
    assert lost == []


def test_links_that_lead_elsewhere_are_safe():
    external = {t for page in PAGES for t in links(page) if place(t, page)[0] is None}
    assert len(external) > 10
    assert [t for t in external if not t.startswith(("https://", "mailto:"))] == []


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda p: p.stem)
def test_a_how_to_opens_with_a_picture(page):
    """Which the gallery shows as well; a small file with words for those who do not see it."""
    opening = re.match(r"# .+\n\n!\[(.{20,})\]\((\S+)\)\n\n", page.read_text(encoding="utf-8"))
    assert opening, f"{page} does not open with ![what it shows](picture)"
    picture, _ = place(opening[2], page)
    assert 1000 < picture.stat().st_size < 300_000
