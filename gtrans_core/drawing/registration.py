"""The part of a report that is known once its detector is registered: version, gate, champion."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gtrans_core.detector.model_name import VERSION, VERSION_NOTE
from gtrans_core.drawing.pages import page_environment
from gtrans_core.evaluation.contest import Contest

MARKER = "<!-- registration -->"
MOST_CHANGES = 20
"""Images that changed their verdict, as far as the report names them."""


class Registration(BaseModel):
    """What the registry says of a detector; steps hand it on as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    alias: str
    gate: str
    """The verdict in words."""
    champion: int | None
    """The champion's version then; None: there was none."""
    contest: Contest | None
    """This version beside the champion, with ``MOST_CHANGES`` at most; None where there is no other
    champion, or no images."""
    changed: int = 0
    """How many images changed their verdict."""


def with_registration(report: str, registration: Registration) -> str:
    """The report with that part, and with its number in the commands that ask for it.

    One of an earlier version, which has no place for them, stays as it is.
    """
    part = page_environment().get_template("registration.html").render(data=registration)
    option, number = f" --version {VERSION}", f" --version {registration.version}"
    return report.replace(VERSION_NOTE, "").replace(option, number).replace(MARKER, part, 1)
