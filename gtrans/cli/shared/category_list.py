"""Which categories a command is about: named once each, or all that the source has."""

from __future__ import annotations

from collections.abc import Sequence

from gtrans_core.data.sources.known import KNOWN_SOURCES, require_category_name
from gtrans_core.errors import ConfigError

ALL = "all"


def named_categories(named: Sequence[str]) -> list[str]:
    """The names, each once in the order asked for.

    Raises:
        ConfigError: when nothing is named.
        DataError: for a name that cannot be one.
    """
    names = [name.strip() for text in named for name in text.split(",") if name.strip()]
    if not names:
        raise ConfigError("no category is named; name one, several, or all")
    for name in names:
        require_category_name(name)
    return list(dict.fromkeys(names))


def chosen_categories(named: Sequence[str], data: str) -> tuple[list[str], str]:
    """The categories, each once in the order asked for, and their source.

    Args:
        named: names, lists of them parted by commas, or ``all``.
        data: ``--data``; may be empty for the demo.

    Raises:
        ConfigError: when nothing is named, or the source is missing.
        DataError: for a name that cannot be one, given or found.
        DataError, StorageError: for ``all`` of a source that cannot be listed.
    """
    from gtrans.pipelines.embedded.category_run import source_of

    names = named_categories(named)
    if not data and names == ["demo"]:
        data = "demo"
    if not data:
        raise ConfigError(
            f"--data is missing: say where the images of '{names[0]}' are "
            f"(a folder, s3://..., or one of {', '.join(KNOWN_SOURCES)})"
        )
    source = source_of(data)
    return (all_categories(source) if names == [ALL] else names), source


def all_categories(source: str) -> list[str]:
    """Every category of a source.

    Raises:
        DataError: when one has a name that cannot be one.
        DataError, StorageError: when the source cannot be listed.
    """
    from gtrans_core.data.sources.catalogue import categories_of

    names = list(categories_of(source))
    for name in names:
        require_category_name(name)
    return names
