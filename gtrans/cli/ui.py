"""``gtrans ui``: MLflow's pages on the record that runs are kept in."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from gtrans.cli.shared.options import ProfileName, Store

_HOST = "127.0.0.1"


def ui(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")
    ] = 5000,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Open MLflow on the runs and models of a store, until Ctrl-C.

    It listens on this machine alone. Where the profile names an MLflow server, its address is
    printed and nothing is started.
    """
    from gtrans.pipelines.profiles import load_profile
    from gtrans.serving.listening import take_port
    from gtrans_core.errors import TrackingError
    from gtrans_core.tracking.address import is_server
    from gtrans_core.tracking.client import has_record
    from gtrans_core.tracking.pages import page_address

    uri = load_profile(profile_name, store=store).tracking_uri
    if is_server(uri):
        typer.echo(page_address(uri, "#/experiments"))
        return
    if not has_record(uri):
        raise TrackingError(f"no record at {uri}; name the folder of the runs with --store")
    # MLflow itself would end with code 0 and a page of its log where the port is taken.
    take_port(_HOST, port, "--port").close()
    typer.echo(page_address(f"http://{_HOST}:{port}", "#/experiments"))
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "server", f"--host={_HOST}", f"--port={port}"]
    # Each worker takes half a gigabyte; jobs are of no use here, and take four processes.
    command += ["--workers=1", f"--backend-store-uri={uri}"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    os.execve(sys.executable, command, {**os.environ, **quiet})  # noqa: S606  # nosec B606  # this very Python
