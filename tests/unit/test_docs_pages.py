"""Guides are short: what a page under how-to or tutorial may hold, in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
GUIDES = sorted([*DOCS.glob("how-to/*.md"), *DOCS.glob("tutorial/*.md")])
MOST_WORDS = 600
OUR_WORDS = """
alias approval caught category challenger champion checkpoint component config contour
cross-fitted detector digest drift effort evidence exposure extra feedback flagged floor fold
gate guide held-out journal knob ledger lineage lock manifest mark mask miss patch preset
profile promise
promotion provenance recalibrate record region registry rollback run scene score seed shard share
source step store stride student taps threshold tile token trial unusual verb version view weights
"""


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


def test_each_word_of_our_own_is_in_the_glossary_once():
    """Words that pages, messages and the report use without saying what they mean."""
    page = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE)
    words = [re.sub(r" \(.*\)", "", word) for term in terms for word in term.split(", ")]
    missing = sorted(set(OUR_WORDS.split()) - {part for word in words for part in word.split()})
    assert missing == []
    assert sorted({word for word in words if words.count(word) > 1} - {"word"}) == []
