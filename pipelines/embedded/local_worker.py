"""The process that hosts kfp.local: ``python -m gtrans.pipelines.embedded.local_worker``.

It reads one line of JSON from its standard input and ends with the pipeline, or soon after the
other end of that pipe is gone.
"""

import json
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from gtrans_core.system.shortcuts import kubeflow_client_left_out


def main() -> None:
    """Run the requested pipeline; exits non-zero when one of its steps failed."""
    # Steps get the group's SIGTERM too; this process outlives them, to read their last words.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_when_abandoned, daemon=True).start()
    _run(request)


def _run(request: dict[str, Any]) -> None:
    with kubeflow_client_left_out():
        import kfp  # noqa: F401
    from kfp import components, dsl, local

    # kfp.local puts the interpreter's path into a shell command as it is.
    sys.executable = f"{shlex.quote(sys.executable)} -m gtrans.pipelines.embedded.local_step"
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=request["artifacts"],
        # kfp.local deletes this folder at the end: a fresh one, never one of the user's.
        workspace_root=tempfile.mkdtemp(),
    )
    text = Path(request["compiled"]).read_text(encoding="utf-8")
    # kfp.local would fill in a random number that two runs may share.
    text = text.replace(dsl.PIPELINE_JOB_ID_PLACEHOLDER, request["run_key"])
    try:
        components.load_component_from_text(text)(**request["parameters"])
    except RuntimeError as error:
        # A step failed: its own words, which are in the log already, say more than this stack.
        sys.exit(str(error))


def _stop_when_abandoned() -> None:
    # Not sys.stdin.read(): a thread inside its lock makes the interpreter's exit fail.
    os.read(sys.stdin.fileno(), 1)
    while True:
        os.killpg(0, signal.SIGTERM)
        time.sleep(1)


if __name__ == "__main__":
    main()
