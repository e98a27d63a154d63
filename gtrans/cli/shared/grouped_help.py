"""``gtrans --help``: the verbs under what they are for; and what the shell completes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from typer._click import Context, HelpFormatter


class GroupedHelp(TyperGroup):
    """Lists commands by their ``rich_help_panel``, in the order they were added; without rich."""

    def _main_shell_completion(
        self,
        ctx_args: MutableMapping[str, Any],
        prog_name: str,
        complete_var: str | None = None,
    ) -> None:
        if os.environ.get(complete_var or "_GTRANS_COMPLETE") == "complete_bash":
            from typer._click.shell_completion import add_completion_class

            from gtrans.cli.shared.bash_words import WholeWords

            add_completion_class(WholeWords, "bash")
        super()._main_shell_completion(ctx_args, prog_name, complete_var)

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write one list of commands a group."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        limit = formatter.width - 6 - max(map(len, commands))
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, command in commands.items():
            if command is not None:
                title = str(getattr(command, "rich_help_panel", "") or "Commands")
                groups.setdefault(title, []).append((name, command.get_short_help_str(limit)))
        for title, rows in groups.items():
            with formatter.section(title):
                formatter.write_dl(rows)
