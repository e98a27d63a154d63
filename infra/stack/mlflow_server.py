"""MLflow's server, as everything here starts it: tests, `make stack-up`; the containers too."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.stack.ports import LOOPBACK
from infra.stack.service import Service, answers

AUTH_CONFIG = Path(__file__).parents[1] / "mlflow" / "basic_auth.ini"
ADMIN = "admin"


@dataclass(frozen=True)
class MLflowServer:
    """One server: its folder, port, database and artifacts."""

    folder: Path
    port: int
    database: str = ""
    """A SQLAlchemy address; empty: a file in the folder."""
    artifacts: str = ""
    """What it keeps artifacts in and hands them out from; empty: a folder in the folder."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """How it reaches the two, and what :func:`with_password` says."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"

    def service(self) -> Service:
        """The server."""
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            f"--host={LOOPBACK}",
            f"--port={self.port}",
            # Each worker takes half a gigabyte.
            "--workers=1",
            f"--backend-store-uri={self.database or f'sqlite:///{self.folder}/mlflow.db'}",
            f"--artifacts-destination={self.artifacts or self.folder / 'artifacts'}",
        ]
        if "MLFLOW_AUTH_CONFIG_PATH" in self.environment:
            command.append("--app-name=basic-auth")
        binaries = Path(sys.executable).parent
        return Service(
            name="mlflow",
            folder=self.folder,
            command=command,
            environment={
                "HOME": str(self.folder),
                "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                **self.environment,
            },
            ready=lambda: answers(f"{self.url}/health"),
        )


def with_password(password: str, cookie_key: str) -> dict[str, str]:
    """The environment of a server that asks for a password; its users are in PostgreSQL.

    Args:
        password: of the administrator, taken when the database is new.
        cookie_key: signs the forms of its pages.
    """
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(AUTH_CONFIG),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": cookie_key,
    }
