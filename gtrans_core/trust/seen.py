"""The newest approvals seen on this machine, since a registry's ledger can be cut at its end.

What is left of such a ledger is whole and signed. Only who saw more can tell.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import RootModel, ValidationError

from gtrans_core.errors import StorageError
from gtrans_core.storage import exclusive, write_atomic
from gtrans_core.storage.documents import OddDocumentError, parse_json, read_bounded
from gtrans_core.storage.sealed import SealError, sealed, unsealed

SEEN_FILE = "approvals.json"


class _Numbers(RootModel[dict[str, dict[str, int]]]):
    """By registry and model."""


@dataclass(frozen=True)
class SeenApprovals:
    """A file that holds, by registry and model, the place of the newest approval seen."""

    path: Path

    def newest(self, registry: str, model: str) -> int:
        """The place of the newest approval seen; 0: none was.

        Raises:
            StorageError: when the file is damaged or cannot be read.
        """
        return self._read().get(registry, {}).get(model, 0)

    def remember(self, registry: str, model: str, number: int) -> None:
        """Note an approval; where the disk cannot be written, this machine remembers nothing.

        Raises:
            StorageError: when the file is damaged or cannot be read.
        """
        if self.newest(registry, model) >= number:
            return
        with contextlib.suppress(StorageError), exclusive(self.path):
            seen = self._read()
            models = seen.setdefault(registry, {})
            models[model] = max(number, models.get(model, 0))
            write_atomic(self.path, sealed(json.dumps(seen, indent=1)))

    def _read(self) -> dict[str, dict[str, int]]:
        if not self.path.exists():
            return {}
        try:
            return _Numbers.model_validate(parse_json(unsealed(self._bytes()))).root
        except (OddDocumentError, SealError, ValidationError):
            raise StorageError(
                f"{self.path}: damaged; it holds the newest approvals seen here. Look at `gtrans "
                "history`, and delete the file if all moves are there"
            ) from None

    def _bytes(self) -> bytes:
        return read_bounded(self.path, "the approvals seen here", StorageError)
