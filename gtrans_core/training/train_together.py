"""One training by several processes (torchrun), on a GPU each; the step waits for them.

``python -m gtrans_core.training.train_together FOLDER`` is one of them; torchrun starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed

from gtrans_core.config import GTransConfig
from gtrans_core.errors import GTransError, PreemptedError, TrainingError
from gtrans_core.features.reading import open_features
from gtrans_core.network.backbone import agn_spec
from gtrans_core.progress import Progress
from gtrans_core.training.device import choose_device
from gtrans_core.training.loop import train_trans
from gtrans_core.training.termination import TerminationSignal

_POLL_SECONDS = 0.2


def train_together(
    cache: Path, config: GTransConfig, folder: Path, stop_requested: Callable[[], bool]
) -> int | None:
    """Train to the last checkpoint in ``folder`` with ``training.processes`` processes.

    Returns:
        The step that they went on from; None for a fresh start.

    Raises:
        TrainingError: when one of them fails; with its own reason.
        PreemptedError: when they were asked to stop; the same call goes on later.
    """
    with tempfile.TemporaryDirectory(prefix="gtrans-crew-") as scratch:
        request = {"cache": str(cache), "folder": str(folder), "config": config.to_json()}
        (Path(scratch) / "request.json").write_text(json.dumps(request), encoding="utf-8")
        command = _command(config.training.processes, Path(scratch))
        crew = subprocess.Popen(command)  # noqa: S603  # nosec B603  # our own module
        told = False
        while crew.poll() is None:
            if stop_requested() and not told:
                crew.terminate()  # torchrun hands it on to every process
                told = True
            try:
                crew.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        outcomes = [json.loads(path.read_bytes()) for path in Path(scratch).glob("rank-*.json")]
    errors = [outcome["error"] for outcome in outcomes if "error" in outcome]
    if told:
        raise PreemptedError(errors[0] if errors else "stopped; the last checkpoint is saved")
    if crew.returncode or errors:
        ended = f"a training process ended with code {crew.returncode}; its log says why"
        raise TrainingError(errors[0] if errors else ended)
    resumed_at: int | None = outcomes[0]["resumed_at"]
    return resumed_at


def _command(processes: int, scratch: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={processes}", "--module", "gtrans_core.training.train_together"),
        str(scratch),
    ]


def _member(scratch: Path) -> int:
    """One process: trains, and leaves its outcome for the step to read."""
    rank = int(os.environ["RANK"])
    outcome = scratch / f"rank-{rank}.json"
    try:
        resumed_at = _train(json.loads((scratch / "request.json").read_bytes()), leads=rank == 0)
    except GTransError as error:
        outcome.write_text(json.dumps({"error": str(error)}), encoding="utf-8")
        return error.exit_code
    outcome.write_text(json.dumps({"resumed_at": resumed_at}), encoding="utf-8")
    return 0


def _train(request: dict[str, str], leads: bool) -> int | None:
    stop_requested = TerminationSignal()
    config = GTransConfig.from_json(request["config"])
    device = choose_device(config.training)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    progress = Progress("train")
    try:
        result = train_trans(
            open_features(Path(request["cache"]), config.training.resident_mb),
            agn_spec(config.agn),
            config,
            Path(request["folder"]),
            on_progress=lambda done, total, note: (
                progress.advanced("steps", done, total, note) if leads else None
            ),
            say=progress.said if leads else lambda _: None,
            stop_requested=stop_requested,
        )
    finally:
        distributed.destroy_process_group()
    return result.resumed_at


if __name__ == "__main__":
    raise SystemExit(_member(Path(sys.argv[1])))
