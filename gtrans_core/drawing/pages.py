"""How the package's HTML pages are made from their templates."""

from __future__ import annotations

from functools import cache

import jinja2


@cache  # with the templates, which take jinja2 half a second to compile
def page_environment() -> jinja2.Environment:
    """Templates of this package; everything that is put into them is escaped."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("gtrans_core.drawing"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def base_style() -> str:
    """The style that every page for people has: colours by day and by night, letters, buttons."""
    return page_environment().get_template("base.css").render()
