"""The three together, in one folder: started in order, stopped in reverse."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.stack import service
from infra.stack.mlflow_server import ADMIN, MLflowServer, with_password
from infra.stack.ports import free_port, is_free
from infra.stack.postgresql import PostgreSQL
from infra.stack.seaweedfs import SeaweedFS
from infra.stack.service import StackError

BUCKET = "mlflow"
_SECRET_BYTES = 24


@dataclass(frozen=True)
class Facts:
    """What a stack is told once and keeps: its ports and secrets."""

    mlflow_port: int
    postgresql_port: int
    s3_port: int
    postgresql_password: str
    s3_access_key: str
    s3_secret_key: str
    mlflow_password: str
    mlflow_cookie_key: str


@dataclass(frozen=True)
class Stack:
    """The servers of one folder."""

    folder: Path
    facts: Facts

    @property
    def postgresql(self) -> PostgreSQL:
        """MLflow's database."""
        facts = self.facts
        return PostgreSQL(
            self.folder / "postgresql", facts.postgresql_port, facts.postgresql_password
        )

    @property
    def seaweedfs(self) -> SeaweedFS:
        """Where MLflow keeps artifacts."""
        facts = self.facts
        return SeaweedFS(
            self.folder / "seaweedfs", facts.s3_port, facts.s3_access_key, facts.s3_secret_key
        )

    @property
    def mlflow(self) -> MLflowServer:
        """The record, which asks for a password."""
        password = with_password(self.facts.mlflow_password, self.facts.mlflow_cookie_key)
        return MLflowServer(
            folder=self.folder / "mlflow",
            port=self.facts.mlflow_port,
            database="postgresql+psycopg2://",
            artifacts=f"s3://{BUCKET}",
            environment=self.postgresql.client | self.seaweedfs.client | password,
        )

    @property
    def client(self) -> dict[str, str]:
        """The environment of whoever uses MLflow; it hands out artifacts itself."""
        return {
            "MLFLOW_TRACKING_URI": self.mlflow.url,
            "MLFLOW_TRACKING_USERNAME": ADMIN,
            "MLFLOW_TRACKING_PASSWORD": self.facts.mlflow_password,
        }


def default_folder() -> Path:
    """Where a user's stack lives; root's is not in its home, which PostgreSQL cannot enter."""
    if os.getuid() == 0:
        return Path("/var/lib/gtrans-stack")
    return Path.home() / ".local" / "share" / "gtrans-stack"


def up(folder: Path, mlflow_port: int, say: Callable[[str], None]) -> Stack:
    """Start what does not run yet.

    Args:
        folder: of everything; made if there is none.
        mlflow_port: of a new stack; one that exists keeps its own.
        say: told of each step.

    Raises:
        StackError: a server is not installed or does not start; what was started goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Others may pass (PostgreSQL, where root starts it), but not look; each file says the rest.
    folder.chmod(0o711)
    stack = Stack(folder, _facts(folder, mlflow_port))
    stack.postgresql.prepare()
    _start(stack.postgresql.service(), say)
    stack.seaweedfs.folder.mkdir(exist_ok=True)
    _start(stack.seaweedfs.service(), say)
    stack.seaweedfs.make_bucket(BUCKET)
    stack.mlflow.folder.mkdir(exist_ok=True)
    _start(stack.mlflow.service(), say)
    _write_secret(folder / "client.env", _shell(stack.client))
    _write_secret(folder / "s3.env", _shell(stack.seaweedfs.client))
    (folder / "profile.toml").write_text(_PROFILE.format(uri=stack.mlflow.url))
    return stack


def down(folder: Path, say: Callable[[str], None]) -> None:
    """Stop what :func:`up` started; data and secrets stay."""
    # PostgreSQL's fast shutdown is SIGINT.
    for name, number in (
        ("mlflow", signal.SIGTERM),
        ("seaweedfs", signal.SIGTERM),
        ("postgresql", signal.SIGINT),
    ):
        stopped = service.stop(folder / name / f"{name}.pid", number)
        say(f"{name}: {'stopped' if stopped else 'was not running'}")


def _start(one: service.Service, say: Callable[[str], None]) -> None:
    say(f"{one.name}: {'started' if service.start(one) else 'runs already'}")


def _facts(folder: Path, mlflow_port: int) -> Facts:
    file = folder / "stack.json"
    if file.is_file():
        return Facts(**json.loads(file.read_text()))
    if not is_free(mlflow_port):
        raise StackError(f"port {mlflow_port} is taken: choose another one with --port")
    facts = Facts(
        mlflow_port=mlflow_port,
        postgresql_port=free_port(),
        s3_port=free_port(),
        postgresql_password=secrets.token_urlsafe(_SECRET_BYTES),
        s3_access_key=secrets.token_hex(10),
        s3_secret_key=secrets.token_urlsafe(_SECRET_BYTES),
        mlflow_password=secrets.token_urlsafe(_SECRET_BYTES),
        mlflow_cookie_key=secrets.token_urlsafe(_SECRET_BYTES),
    )
    _write_secret(file, json.dumps(asdict(facts), indent=2))
    return facts


def _write_secret(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text(text)


def _shell(values: dict[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())


_PROFILE = """\
# Runs on this machine, recorded by the stack of this folder (`make stack-up`).
store = "gtrans-store"
tracking_uri = "{uri}"
# Others can log in to this server: name a key (docs/how-to/trust.md) before they do.
unsigned_models = "allow"
"""
