"""A store made by an earlier version (``tests/fixtures/old_store``), unpacked anywhere."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).parents[1] / "fixtures/old_store"
MADE_IN = "/factory/"
"""The folder it was made in; MLflow keeps full paths."""


def expected() -> dict[str, Any]:
    """What the earlier version said of it."""
    return json.loads((FIXTURE / "expected.json").read_text())


def unpack(folder: Path) -> Path:
    """The store in ``folder/gtrans-store``, as if made there; ``folder/parts`` has its images."""
    with tarfile.open(FIXTURE / "store.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    store = folder / "gtrans-store"
    _relocate_record(store / "mlflow.db", f"{folder}/")
    for path in (store / "runs").rglob("*"):
        if path.is_file() and path.suffix in ("", ".json", ".jsonl"):
            path.write_bytes(path.read_bytes().replace(MADE_IN.encode(), f"{folder}/".encode()))
    return store


def _relocate_record(database: Path, folder: str) -> None:
    """Put another folder into each text of the database."""
    with sqlite3.connect(database) as record:
        tables = record.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            columns = [row[1] for row in record.execute(f'PRAGMA table_info("{table}")')]
            changes = ", ".join(f'"{name}" = replace("{name}", :old, :new)' for name in columns)
            affected = " OR ".join(f"\"{name}\" LIKE '%' || :old || '%'" for name in columns)
            record.execute(
                f'UPDATE "{table}" SET {changes} WHERE {affected}',  # noqa: S608
                {"old": MADE_IN, "new": folder},
            )
