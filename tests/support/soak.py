"""Twenty runs, and twenty more with a fault in each: ``python -m tests.support.soak FOLDER``.

Everything is imported once and each run is a fork, so that it takes little more than it computes.
Prints, as JSON, what the two registries hold in the end and what each faulty run went through.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import databases
from tests.support.runs import CATEGORY, TinyRun, runs_at, story_of, write_part

RUNS = 20
DETECTORS = 4
"""Different ones among the runs: every other run must find what an earlier one made."""
NOWHERE = "http://127.0.0.1:9"
CODES = {4: "bad data", 7: "no MLflow", 75: "preempted", -9: "killed", -15: "ended"}

Random = np.random.Generator


def main() -> None:
    """Both soaks below the folder that the command line names."""
    root = Path(sys.argv[1])
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    with databases.copied_tables(root):
        sys.stdout.write(json.dumps(both(root)) + "\n")


def both(root: Path) -> dict[str, Any]:
    """What twenty runs leave, and what twenty with a fault each leave."""
    warm_up(root / "warm-up")
    gc.freeze()  # or each fork looks through all that was imported, and so copies it
    rng = np.random.default_rng(int(os.environ.get("GTRANS_SOAK_SEED", "0")))
    clean = [straight_on] * RUNS
    faults = [FAULTS[number % len(FAULTS)] for number in rng.permutation(RUNS)]
    stories = {}
    for name, plan in (("clean", clean), ("faults", faults)):
        write_part(root / name)
        trials = [soaked(root / name, number, fault, rng) for number, fault in enumerate(plan)]
        stories[name] = {**registry_of(root / name), "trials": trials}
    return stories


def warm_up(root: Path) -> None:
    """A run in this process, so that its forks have all imported, and its figures, drawn once.

    Drawing is more than half of what a run computes, and nothing else depends on it.
    """
    from gtrans_core.steps import judging

    draw, drawn = judging.draw_gallery, []

    def draw_once(*arguments: Any) -> Any:
        if not drawn:
            drawn.append(draw(*arguments))
        return drawn[0]

    judging.draw_gallery = draw_once
    write_part(root)
    TinyRun(root).go()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def soaked(root: Path, number: int, fault: Callable[[TinyRun, Random], str], rng: Random) -> str:
    """One run under a fault, and the same command until it ends well; how that went, in words."""
    run = TinyRun(root, f"run-{number:02}", overrides=(f"seed={number % DETECTORS}",))
    if number % 2:  # every other run has its work to do, the others find it done
        shutil.rmtree(root / "store" / "kept", ignore_errors=True)
    went = fault(run, rng)
    for _ in range(2):
        process = start(run)
        process.join()
        if process.exitcode == 0:
            return went
    raise SystemExit(f"{run.key}: {went}: {log_of(run).read_text()}")


def start(run: TinyRun) -> ForkProcess:
    process = multiprocessing.get_context("fork").Process(target=work, args=(run,))
    process.start()
    return process


def work(run: TinyRun) -> None:
    log = log_of(run)
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ["GTRANS_PROGRESS"] = str(events_of(run))
    run.go()


def log_of(run: TinyRun) -> Path:
    return run.root / "logs" / f"{run.key}.log"


def events_of(run: TinyRun) -> Path:
    return run.root / "logs" / f"{run.key}.jsonl"


# What can befall a run. Each returns what happened.


def straight_on(run: TinyRun, rng: Random) -> str:
    """Nothing at all."""
    del run, rng
    return "clean"


def killed(run: TinyRun, rng: Random) -> str:
    """``kill -9`` somewhere between the first and the last step."""
    return signalled(run, rng, signal.SIGKILL)


def told_to_go(run: TinyRun, rng: Random) -> str:
    """SIGTERM somewhere."""
    return signalled(run, rng, signal.SIGTERM)


def signalled(run: TinyRun, rng: Random, number: signal.Signals) -> str:
    process, wanted = start(run), int(rng.integers(1, 55))
    while process.is_alive() and lines_in(events_of(run)) < wanted:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.05))
    if process.is_alive() and process.pid:
        os.kill(process.pid, number)
    process.join()
    return f"{number.name}: {CODES.get(process.exitcode or 0, 'too late')}"


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def cache_damaged(run: TinyRun, rng: Random) -> str:
    """A shard cut short, emptied, with a flipped bit, or gone; or no index."""
    return damage(run, rng, "cache/*/*")


def checkpoint_damaged(run: TinyRun, rng: Random) -> str:
    """The newest checkpoint of a training."""
    return damage(run, rng, "training/*/checkpoint-*.safetensors")


def kept_damaged(run: TinyRun, rng: Random) -> str:
    """A file of what a step keeps for the next run."""
    return damage(run, rng, "kept/*/*/**/*")


def damage(run: TinyRun, rng: Random, pattern: str) -> str:
    files = sorted(path for path in (run.root / "store").glob(pattern) if path.is_file())
    if not files:
        return "nothing there to damage"
    path = files[int(rng.integers(len(files)))]
    data = bytearray(path.read_bytes())
    kind = str(rng.choice(["cut short", "emptied", "flipped", "gone"]))
    if kind == "gone":
        path.unlink()
    else:
        position = int(rng.integers(len(data)))
        data[position] ^= 1
        path.write_bytes({"cut short": data[:position], "emptied": b"", "flipped": data}[kind])
    return f"{path.parent.parent.name} {kind}"


def without_mlflow(run: TinyRun, rng: Random) -> str:
    """It is down all the while."""
    del rng
    process = start(replace(run, tracking_uri=NOWHERE))
    process.join()
    return f"MLflow down: {CODES[process.exitcode or 0]}"


def image_damaged(run: TinyRun, rng: Random) -> str:
    """An image that cannot be read, and is put right."""
    images = sorted((run.root / "data" / CATEGORY).rglob("*.png"))
    path = images[int(rng.integers(len(images)))]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(rng.integers(len(whole) // 2))])
    process = start(run)
    process.join()
    path.write_bytes(whole)
    return f"image: {CODES[process.exitcode or 0]}"


def registry_locked(run: TinyRun, rng: Random) -> str:
    """Somebody holds MLflow's database for a second."""
    path = run.root / "store" / "mlflow.db"
    if not path.exists():
        return "no database to lock"
    events = lines_in(events_of(run)) + int(rng.integers(1, 50))
    done = threading.Event()

    def hold() -> None:
        while lines_in(events_of(run)) < events and not done.is_set():
            time.sleep(0.005)
        with sqlite3.connect(path, timeout=30, isolation_level=None) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(1)
            database.execute("ROLLBACK")

    process = start(run)
    holder = threading.Thread(target=hold)
    holder.start()
    process.join()
    done.set()
    holder.join()
    return f"database locked: {process.exitcode}"


FAULTS = (
    killed,
    told_to_go,
    cache_damaged,
    killed,
    checkpoint_damaged,
    kept_damaged,
    without_mlflow,
    killed,
    image_damaged,
    registry_locked,
    killed,
)


def registry_of(root: Path) -> dict[str, Any]:
    """Versions, aliases and runs; no value of a run twice."""
    from gtrans_core.tracking.client import connect

    uri = f"sqlite:///{root}/store/mlflow.db"
    client = connect(uri)
    runs = {}
    for run in runs_at(uri):
        history = client.get_metric_history(run.info.run_id, "train_loss")
        times = Counter(metric.step for metric in history)
        status = [run.info.status, sorted(times), max(times.values())]
        runs.setdefault(run.data.tags["gtrans.run_key"], []).append(status)
    return {**story_of(client), "runs": runs}


if __name__ == "__main__":
    main()
