"""``python -m infra.stack up | down``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from infra.stack.service import StackError
from infra.stack.stack import default_folder, down, up

_MLFLOW_PORT = 5000


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description=__doc__)
    parser.add_argument("command", choices=("up", "down"))
    parser.add_argument("--folder", type=Path, default=default_folder(), help="of all its data")
    parser.add_argument("--port", type=int, default=_MLFLOW_PORT, help="of a new stack's MLflow")
    asked = parser.parse_args()
    folder = asked.folder.expanduser().resolve()
    try:
        if asked.command == "down":
            down(folder, _say)
            return 0
        stack = up(folder, asked.port, _say)
    except (StackError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    _say(f"\nMLflow    {stack.mlflow.url}   user admin, password in {folder}/client.env")
    _say(f"Log in    . {folder}/client.env")
    _say(f"Run       gtrans run --category demo --profile {folder}/profile.toml")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
