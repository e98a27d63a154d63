"""docs/reference/messages.md: every error has its row, its page, and messages that exist."""

from __future__ import annotations

import re
from pathlib import Path

from gtrans.cli.main import MESSAGES
from gtrans_core import errors
from gtrans_core.errors import GTransError

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / MESSAGES
TEXT = PAGE.read_text(encoding="utf-8")
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, GTransError) and "exit_code" in vars(kind)
]


def test_every_kind_of_error_has_its_row() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", TEXT, re.MULTILINE))
    assert rows == {str(kind.exit_code): kind.__name__ for kind in KINDS}


def test_every_kind_of_error_has_a_section_with_a_page() -> None:
    sections = dict(re.findall(r"^## Exit code (\d+)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
    assert {str(kind.exit_code) for kind in KINDS} <= sections.keys()
    for code in {str(kind.exit_code) for kind in KINDS} & sections.keys() - {"9", "75"}:
        assert re.search(r"\]\([\w./#-]+\.md", sections[code]), code


def test_every_page_that_is_named_exists() -> None:
    for target in re.findall(r"\]\(([\w./-]+\.md)", TEXT):
        assert target == "commands.md" or (PAGE.parent / target).is_file(), target


def test_every_message_is_one_of_the_product() -> None:
    """Part for part: each is found in a string of the code."""
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for package in ("gtrans", "gtrans_core", "pipelines", "components")
        for path in (ROOT / package).rglob("*.py")
    )
    one_line = re.sub(r'"\s*\n\s*f?"', "", code)
    messages = re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE)
    assert len(messages) > 40
    assert [message for message in messages if message not in one_line] == []
