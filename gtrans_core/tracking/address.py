"""Which addresses of MLflow can work, told without asking anybody."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

SQLITE_SCHEME = "sqlite:///"
SERVER_SCHEMES = ("http://", "https://")

_EXPECTED = (
    "expected http://HOST:PORT of an MLflow server, sqlite:////PATH/mlflow.db, or nothing, which "
    "is a database in the store"
)
_DRIVERS = {
    "postgresql": "psycopg2",
    "mysql": "MySQLdb",
    "mssql": "pyodbc",
}
"""What SQLAlchemy connects with where an address names no driver."""


def address_problem(uri: str) -> str:
    """What is wrong with the address of a tracking server or database; empty: nothing.

    The address itself is not repeated: it may hold a secret.
    """
    if not uri.isprintable() or uri != uri.strip() or (" " in uri and not _is_sqlite(uri)):
        return "has a space or a control character in it; remove it"
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme == "sqlite":
        return _sqlite_problem(uri)
    if scheme in ("http", "https"):
        return server_problem(uri, _EXPECTED)
    dialect, _, driver = scheme.partition("+")
    if dialect in _DRIVERS:
        return _database_problem(uri, dialect, driver)
    return _foreign_problem(uri)


def is_server(uri: str) -> bool:
    """Whether an address is that of an MLflow server."""
    return uri.startswith(SERVER_SCHEMES)


def _is_sqlite(uri: str) -> bool:
    return uri.startswith(SQLITE_SCHEME)


def _sqlite_problem(uri: str) -> str:
    path = uri.removeprefix(SQLITE_SCHEME)
    if not _is_sqlite(uri) or not path.strip("/") or path.startswith(":memory:"):
        return "names no file; expected sqlite:////PATH/mlflow.db"
    if re.search(r"\?|%[0-9A-Fa-f]{2}", path):
        return "has '?' or a %XX in its path, which SQLAlchemy reads as something else"
    if Path(path).is_dir():
        return "names a folder; expected the file of a database, such as mlflow.db in it"
    return ""


def server_problem(uri: str, expected: str) -> str:
    """What is wrong with an address of HTTP(S); empty: nothing. ``expected`` ends what is said."""
    parts = _split(uri)
    if parts is None or not parts.hostname:
        return f"names no host and port; {expected}"
    if parts.query or parts.fragment or "#" in uri or "?" in uri:
        return "has '?' or '#' in it; take only what comes before"
    if parts.hostname.startswith(".") or ".." in parts.hostname or len(parts.hostname) > 253:
        return f"names no host; {expected}"
    return ""


def _database_problem(uri: str, dialect: str, driver: str) -> str:
    parts = _split(uri)
    if parts is None or not parts.path.strip("/"):
        return f"names no database; expected {dialect}://HOST/DATABASE"
    module = driver or _DRIVERS[dialect]
    try:
        there = find_spec(module) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        return f"needs the Python package of {module}, which is not installed; install it"
    return ""


def _foreign_problem(uri: str) -> str:
    if uri.startswith(("http:", "https:")):
        return f"lacks '//' after http:; {_EXPECTED}"
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
        return f"lacks http:// or https:// before its host; {_EXPECTED}"
    if uri.startswith("file:") or "://" not in uri:
        return f"is a folder, and MLflow keeps no registry in folders; {_EXPECTED}"
    return f"is of a kind that cannot be used here; {_EXPECTED}"


def _split(uri: str) -> SplitResult | None:
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return None
    return parts
