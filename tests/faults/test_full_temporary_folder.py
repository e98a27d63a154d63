"""A temporary folder that is nearly full: steps say so in a line, and go on with more room."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from gtrans_core.data.images import decode_view
from gtrans_core.errors import StorageError
from gtrans_core.evaluation.evaluation import score_split
from tests.support.disk import Disk
from tests.support.ending import ending_of
from tests.support.images import photo
from tests.support.runs import TinyRun
from tests.support.tiny import photos, tiny_config

FREE = [0, 12 * 1024]
"""Bytes: nothing fits, or small files do."""
SAYS = re.compile("make room|TMPDIR")
VERBS = {
    "predict": ["predict", "IMAGE", "--model", "models:/gtrans-part/1"],
    "verify": ["verify", "models:/gtrans-part/1"],
    "export": ["export", "part@challenger", "--to", "EXPORTED"],
    "report": ["report", "part"],
    "recalibrate": ["recalibrate", "part", "--false-alarm-rate", "0.3"],
    "drift": ["drift", "part"],
    "promote": ["promote", "part"],
}


@pytest.fixture
def temporary(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
    return disk


@pytest.fixture(scope="module")
def trained(finished_run: TinyRun) -> TinyRun:
    """Up to where evaluate has work to do."""
    run = TinyRun(finished_run.root, "small", overrides=("evaluation.examples_per_defect=3",))
    run.go("ingest", "cache_features", "train")
    return run


def refused(run: TinyRun, step: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run.go(step)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "error:" in line]
    assert ended.value.code == StorageError.exit_code, line
    assert SAYS.search(line), line


def test_evaluate_and_register_say_so_and_go_on_with_more_room(
    trained: TinyRun, temporary: Disk, capsys: pytest.CaptureFixture[str]
):
    for step in ("evaluate", "register"):
        for free in FREE:
            temporary.leave(free)
            refused(trained, step, capsys)
            assert temporary.names() == set()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", None)
            trained.go(step)


@pytest.mark.parametrize("free", FREE)
@pytest.mark.parametrize("verb", VERBS)
def test_commands_say_so(
    verb: str,
    free: int,
    finished_run: TinyRun,
    temporary: Disk,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / "image.png").write_bytes(photo(1))
    names = {"IMAGE": str(tmp_path / "image.png"), "EXPORTED": str(tmp_path / "exported")}
    temporary.leave(free)
    arguments = [names.get(one, one) for one in VERBS[verb]]
    store = ["--store", str(finished_run.root / "store")]
    code, line = ending_of([*arguments, *store], capsys, monkeypatch)
    assert code == StorageError.exit_code, line
    assert line.startswith("error: ")
    assert SAYS.search(line), line
    assert temporary.names() == set()
    assert not (tmp_path / "exported").exists()


class Engine:
    """Scores that a test knows."""

    def score_view(self, view: np.ndarray) -> tuple[np.ndarray, float]:
        return view[0].astype(np.float32), float(view.mean())


def test_one_that_fills_up_while_images_are_scored_does_not_end_the_process(
    disk: Disk, tmp_path: Path
):
    """Heat maps lie in a mapped file: to write there without room is SIGBUS, which nobody tells."""
    manifest, image = photos(tmp_path / "photos", 6), tiny_config().image

    def score() -> None:
        def fill_up(done: int, total: int) -> None:
            if done == 1:
                disk.leave(0)

        scored = score_split(Engine(), manifest, image, disk.folder / "scratch", fill_up)
        for sample, found in zip(scored.samples, scored.maps, strict=True):
            data = (tmp_path / "photos" / sample.path).read_bytes()
            assert (found == decode_view(data, sample.path, image)[0]).all()

    if (child := os.fork()) == 0:
        try:
            score()
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
