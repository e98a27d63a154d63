"""MLflow's tables, made once a run of the tests and copied: making them takes two CPU seconds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from gtrans_core.storage import exclusive
from gtrans_core.tracking import client

_TEMPLATE = "TESTS_DATABASE"
"""Names the file that is copied, to this process and to those it starts."""
make_tables = client._set_up_database
"""What the product does."""


@contextmanager
def copied_tables(folder: Path) -> Iterator[None]:
    """Have this process copy new databases from one in ``folder``, which others may share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_TEMPLATE, str(folder / "tables" / "mlflow.db"))
        patch.setattr(client, "_set_up_database", partial(_copy, template()))
        yield


def copy_from_now_on() -> None:
    """Have this process copy from the same database as the one that started it."""
    client._set_up_database = partial(_copy, template())


def template() -> Path:
    """The database that is copied; the first who needs one makes it."""
    return Path(os.environ[_TEMPLATE])


def set_up(path: Path) -> None:
    """Make a database, empty but for its tables, if there is none."""
    _copy(template(), path)


def _copy(template: Path, path: Path) -> None:
    if path.exists():
        return
    make_tables(template)
    with exclusive(path):
        if not path.exists():
            unfinished = path.with_name(f".{path.name}.copied")
            shutil.copyfile(template, unfinished)
            unfinished.replace(path)
