"""The documents: what they point to is there, and their lines fit a screen."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")],
    key=lambda path: str(path.relative_to(ROOT)),
)
MOST = 120
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(path: Path) -> list[tuple[int, str]]:
    """Lines with their numbers; a row of a table cannot be wrapped."""
    lines = enumerate(path.read_text().splitlines(), 1)
    return [(number, line) for number, line in lines if not line.lstrip().startswith("|")]


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_what_a_document_links_to_is_there(path: Path) -> None:
    broken = []
    for link in _LINK.findall(path.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        there = target.exists() and (not anchor or anchor in anchors(target))
        broken += [] if there else [link]
    assert [] == broken


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_a_document_can_be_read_without_scrolling_sideways(path: Path) -> None:
    assert [] == [number for number, line in prose(path) if len(line) > MOST]


def test_the_list_of_modules_is_current(tmp_path: Path) -> None:
    """Run `make modules` after a module was added, moved or described anew."""
    made = tmp_path / "modules.md"
    made.write_text(runpy.run_path(str(ROOT / "docs" / "modules.py"))["page"]())
    subprocess.run(
        [sys.executable, "-m", "mdformat", "--wrap", "110", str(made)], cwd=ROOT, check=True
    )
    assert (ROOT / "docs" / "modules.md").read_text() == made.read_text()
