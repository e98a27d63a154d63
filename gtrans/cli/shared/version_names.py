"""How a command line names a version: ``CATEGORY`` or ``CATEGORY@ALIAS``."""

from __future__ import annotations

from gtrans_core.detector.model_name import CHAMPION
from gtrans_core.errors import ConfigError


def named_alias(text: str) -> tuple[str, str]:
    """Category and alias; without one, the champion.

    Raises:
        ConfigError: for anything else.
    """
    category, separator, alias = text.partition("@")
    if not category or (separator and not alias):
        raise ConfigError(f"'{text}': expected CATEGORY or CATEGORY@ALIAS, such as bottle@champion")
    return category, alias or CHAMPION
