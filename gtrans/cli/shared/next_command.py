"""Commands that a user may call next, with the options of the call that suggests them."""

from __future__ import annotations

from gtrans_core.system.commands import next_command, program

__all__ = ["next_command", "profile_options", "program"]


def profile_options(profile_name: str, store: str | None) -> list[str]:
    """The options that make another command use the same profile and store."""
    named = ["--profile", profile_name] if profile_name != "local" else []
    return [*named, *(["--store", store] if store else [])]
