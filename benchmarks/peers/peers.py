"""Run an anomalib model from our environment: ``run_peer(...)`` gives its raw scores."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from benchmarks.peers.contract import PEERS, UNAVAILABLE, PeerResult, Request
from gtrans_core.config import AgnConfig, GTransConfig
from gtrans_core.features.weights import read_weights
from gtrans_core.network.backbone import agn_spec

ROOT = Path(__file__).resolve().parents[2]
# Freed memory stays with the process: otherwise zeroing it takes most of a training step's time.
# Only for peers that train in steps: with it, PatchCore's choice of patches grows to 23 GB.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
TRAINED_IN_STEPS = ("stfpm", "stfpm_100")
PYTHON = ROOT / ".venv-peers" / "bin" / "python"


class PeerError(Exception):
    """A peer could not be run; says why in one line."""


def run_peer(
    name: str,
    train_paths: Sequence[Path],
    test_paths: Sequence[Path],
    seed: int,
    work_dir: Path,
    *,
    python: Path = PYTHON,
) -> PeerResult:
    """Train a peer on good images and score each test image alone, in a process of its own.

    It gets the weights, the normalisation and the input size that GTrans has by default.

    Args:
        name: a key of ``contract.PEERS``.
        train_paths: good images.
        test_paths: images to score; the answer keeps their order.
        seed: of everything random in the peer.
        work_dir: keeps the request, the answer and the peer's log.
        python: the interpreter of the peers' environment.

    Raises:
        PeerError: no such peer, no environment, a peer that failed or gave an unusable answer.
        WeightsError: as ``read_weights``.
    """
    _check(name, python)
    work_dir.mkdir(parents=True, exist_ok=True)
    config = GTransConfig()
    spec = agn_spec(config.agn)
    output = work_dir.resolve() / "scores.npz"
    output.unlink(missing_ok=True)  # an old answer must not pass for a new one
    request = Request(
        peer=name,
        seed=seed,
        train=tuple(str(path.resolve()) for path in train_paths),
        test=tuple(str(path.resolve()) for path in test_paths),
        weights=str(export_weights(config.agn, work_dir.resolve() / "weights.safetensors")),
        mean=spec.mean,
        std=spec.std,
        image_size=config.image.view_shape[0],
        output=str(output),
    )
    _answer(request, work_dir.resolve(), python)
    try:
        return PeerResult.read(output, len(test_paths), request.image_size)
    except (OSError, ValueError, KeyError) as error:
        raise PeerError(f"peer {name} gave no usable answer: {error}") from None


def export_weights(config: AgnConfig, path: Path) -> Path:
    """Store the guide's weights, all layers under timm's names."""
    state, _ = read_weights(config, path.parent)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def _check(name: str, python: Path) -> None:
    if name in UNAVAILABLE:
        raise PeerError(f"{name}: {UNAVAILABLE[name]}")
    if name not in PEERS:
        raise PeerError(f"no peer is called {name}; known: {', '.join(PEERS)}")
    if not python.is_file():
        raise PeerError(f"{python} is missing: run make peers-setup")


def _answer(request: Request, work_dir: Path, python: Path) -> None:
    request.write(work_dir / "request.json")
    done = subprocess.run(  # noqa: S603 - our own script in our own environment
        [python, "-m", "benchmarks.peers.run_peer", work_dir / "request.json"],
        cwd=ROOT,
        env=os.environ
        | (KEEP_MEMORY if request.peer in TRAINED_IN_STEPS else {})
        | {"OMP_NUM_THREADS": str(request.threads), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    log = work_dir / "log.txt"
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PeerError(f"peer {request.peer} failed ({done.returncode}): {reason} (see {log})")
