"""Guides are short: what a page under how-to or tutorial may hold, in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = sorted([*DOCS.glob("how-to/*.md"), *DOCS.glob("tutorial/*.md")])
MOST_WORDS = 600


def words_in(page: str) -> int:
    """Words of text and tables; blocks of code and comments are none."""
    prose = re.sub(r"^ *```.*?^ *```$|<!--.*?-->", "", page, flags=re.MULTILINE | re.DOTALL)
    return sum(bool(re.search(r"\w", word)) for word in prose.replace("|", " ").split())


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_a_guide_has_at_most_600_words(page: Path):
    assert words_in(page.read_text(encoding="utf-8")) <= MOST_WORDS


def test_words_are_counted_in_tables_and_not_in_code():
    page = "# One\n\n| two | three |\n|---|---|\n\n```sh\nfour\n```\n<!-- five -->\nsix - seven\n"
    assert words_in(page) == 5
