"""PostgreSQL of this machine, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.stack.ports import LOOPBACK
from infra.stack.service import Service, StackError

USER = "mlflow"
_DATABASE = "postgres"


@dataclass(frozen=True)
class PostgreSQL:
    """One server: its folder, port and the password of its one user."""

    folder: Path
    port: int
    password: str

    @property
    def client(self) -> dict[str, str]:
        """The environment that libpq, and so MLflow, finds it by."""
        return {
            "PGHOST": LOOPBACK,
            "PGPORT": str(self.port),
            "PGUSER": USER,
            "PGPASSWORD": self.password,
            "PGDATABASE": _DATABASE,
        }

    @property
    def uri(self) -> str:
        """For SQLAlchemy; it holds the password."""
        return f"postgresql+psycopg2://{USER}:{self.password}@{LOOPBACK}:{self.port}/{_DATABASE}"

    def prepare(self) -> None:
        """Make the database, if there is none yet.

        Raises:
            StackError: PostgreSQL is not installed, or it refuses.
        """
        if (self._data / "PG_VERSION").is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Where root asks, PostgreSQL runs as another user.
        shutil.chown(self.folder, _other_user() or os.getuid())
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as password:
            password.write(self.password)
            password.flush()
            shutil.chown(password.name, _other_user() or os.getuid())
            made = self._initdb(password.name)
        if made.returncode != 0:
            raise StackError(f"initdb failed in {self._data}: {made.stderr.strip()}")

    def _initdb(self, password_file: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [
                str(programs() / "initdb"),
                f"--pgdata={self._data}",
                f"--username={USER}",
                "--auth=scram-sha-256",
                f"--pwfile={password_file}",
                "--encoding=UTF8",
                "--no-locale",
            ],
            text=True,
            capture_output=True,
            check=False,
            cwd=self.folder,
            user=_other_user(),
            group=_other_user(),
            extra_groups=None if _other_user() is None else [],
        )

    def service(self) -> Service:
        """The server."""
        return Service(
            name="postgresql",
            folder=self.folder,
            command=[
                str(programs() / "postgres"),
                f"-D{self._data}",
                f"-p{self.port}",
                f"-clisten_addresses={LOOPBACK}",
                "-cunix_socket_directories=",
            ],
            environment={"LANG": "C.UTF-8"},
            ready=self._ready,
            stop_signal=signal.SIGINT,  # its fast shutdown
            user=_other_user(),
        )

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _ready(self) -> bool:
        command = [str(programs() / "pg_isready"), f"-h{LOOPBACK}", f"-p{self.port}", "-t1"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def programs() -> Path:
    """The folder of the newest PostgreSQL server of this machine.

    Raises:
        StackError: there is none.
    """
    found = {path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")}
    on_path = shutil.which("initdb")
    if on_path:
        found.add(Path(on_path).resolve().parent)
    if not found:
        raise StackError("PostgreSQL is not installed: apt-get install postgresql (Debian, Ubuntu)")
    return max(found)


def _other_user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package makes the user ``postgres``."""
    return "postgres" if os.getuid() == 0 else None
