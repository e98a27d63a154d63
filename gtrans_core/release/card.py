"""The model card: what the detector is, what it was measured to do, and what it is not good for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2

from gtrans_core.release.facts import ReleaseFacts
from gtrans_core.system.text import printable, score_text


def render_card(facts: ReleaseFacts) -> str:
    """The card as Markdown."""
    environment = jinja2.Environment(  # nosec B701  # Markdown; no browser runs it
        loader=jinja2.PackageLoader("gtrans_core.release"),
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": _percent, "number": _number, "kinds": _kinds, "cell": _cell}
    environment.filters["score"] = score_text
    environment.filters["plain"] = _plain
    record = facts.record
    return environment.get_template("MODEL_CARD.md").render(
        facts=facts,
        record=record,
        approval=facts.approval,
        missed=", ".join(
            f"{row.images - row.caught} of {row.images} {row.defect}"
            for row in record.per_defect
            if row.caught < row.images
        ),
        unavailable=", ".join(name for name, value in record.metrics.items() if value is None),
        seen=_seen(record.config.get("image.crop") or record.config.get("image.size", "?")),
    )


def _seen(size: Any) -> str:
    """Width x height of what the network sees: ``image.size`` is a side, or height and width."""
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return f"{width} x {height}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _number(value: float | None) -> str:
    return "not available" if value is None else f"{value:.4f}"


def _kinds(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if kind != "images")


def _plain(text: str) -> str:
    """Words of a person as one line of Markdown that means nothing but itself."""
    line = " ".join(printable(text).split())
    return re.sub(r"([\\`*_{}\[\]()#!|~<>&])", r"\\\1", line)


def _cell(text: str) -> str:
    """As ``_plain``, but for underscores: names are full of them."""
    return _plain(text).replace("\\_", "_")
