"""The list of commands, drawn without what rich loads for Markdown and tracebacks.

typer's formatter imports both, a third of the time of ``gtrans --help``; there is neither here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from typer.core import TyperGroup

_UNUSED = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}


class LightGroup(TyperGroup):
    """A group of commands whose help is soon there."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Draw the help page."""
        # A typer that wants more than these two classes gets the real modules after all.
        with suppress(ImportError), _left_out():
            import typer.rich_utils  # noqa: F401
        super().format_help(ctx, formatter)


@contextmanager
def _left_out() -> Iterator[None]:
    """Empty classes stand for what is not used, where it is not loaded already."""
    stand_ins = {name: ModuleType(name) for name in _UNUSED if name not in sys.modules}
    for name, module in stand_ins.items():
        setattr(module, _UNUSED[name], type(_UNUSED[name], (), {}))
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
