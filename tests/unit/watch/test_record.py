"""Keeping scores: files of many writers, added up; nothing lost, nothing twice."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from gtrans_core.errors import StorageError
from gtrans_core.watch import record as record_module
from gtrans_core.watch.histogram import counts_of
from gtrans_core.watch.record import ScoreRecorder, Watched, read_counts, record_all

MODEL = Watched("bottle", 2, "d" * 64)
WHO = ("bottle", 2, "d" * 64)


def read(folder: Path, **options: date) -> dict[int, int]:
    return read_counts(folder, "bottle", "d" * 64, **options)


class Clock(datetime):
    """The machine's, set forward by ``offset``."""

    offset = timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.offset


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    """What the recorder goes by."""
    monkeypatch.setattr(Clock, "offset", timedelta())
    monkeypatch.setattr(record_module, "datetime", Clock)
    return Clock


def test_what_is_recorded_is_read_back(tmp_path: Path):
    with ScoreRecorder(tmp_path) as recorder:
        for score in (0.5, 0.5, 1.5):
            recorder.record(*WHO, score)
        recorder.record("bottle", 3, "e" * 64, 9.0)
        recorder.record("cable", 2, "d" * 64, 9.0)
    assert read(tmp_path) == counts_of([0.5, 0.5, 1.5])
    assert read_counts(tmp_path, "bottle", "e" * 64) == counts_of([9.0])


def test_nothing_kept_is_no_error(tmp_path: Path):
    assert read(tmp_path / "not there") == {}


def test_it_writes_by_itself_after_enough_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(record_module, "PENDING_SCORES", 3)
    recorder = ScoreRecorder(tmp_path)
    for expected in (0, 0, 3, 3, 3, 6):
        recorder.record(*WHO, 1.0)
        assert sum(read(tmp_path).values()) == expected


def test_it_writes_by_itself_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(record_module, "PENDING_SECONDS", 0.0)
    ScoreRecorder(tmp_path).record(*WHO, 1.0)
    assert read(tmp_path) == counts_of([1.0])


def test_threads_lose_nothing(tmp_path: Path):
    recorder = ScoreRecorder(tmp_path)

    def work() -> None:
        for _ in range(500):
            recorder.record(*WHO, 1.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush()
    assert sum(read(tmp_path).values()) == 4000


WRITER = """
import sys
from pathlib import Path
from gtrans_core.watch.record import ScoreRecorder
with ScoreRecorder(Path(sys.argv[1])) as recorder:
    for _ in range(1000):
        recorder.record("bottle", 2, "d" * 64, 1.0)
"""


def test_processes_lose_nothing(tmp_path: Path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen(command) for _ in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    assert sum(read(tmp_path).values()) == 4000


def test_a_batch_recorded_again_counts_once(tmp_path: Path):
    days = [(date(2026, 1, 30), 1.0), (date(2026, 1, 31), 2.0)]
    for _ in range(2):
        record_all(tmp_path, MODEL, "batch-1", days)
    assert read(tmp_path) == counts_of([1.0, 2.0])
    record_all(tmp_path, MODEL, "batch-2", days)
    assert sum(read(tmp_path).values()) == 4


def test_since_a_day(tmp_path: Path):
    record_all(tmp_path, MODEL, "b", [(date(2026, 1, day), float(day)) for day in (29, 30, 31)])
    assert read(tmp_path, since=date(2026, 1, 30)) == counts_of([30.0, 31.0])
    assert read(tmp_path, since=date(2026, 2, 1)) == {}


def test_a_day_that_is_over_is_not_written_again(tmp_path: Path, clock: type[Clock]):
    recorder = ScoreRecorder(tmp_path)
    recorder.record(*WHO, 1.0)
    clock.offset = timedelta(days=1)
    recorder.record(*WHO, 2.0)
    recorder.flush()
    files = sorted(path.name[:10] for path in tmp_path.rglob("*.json"))
    today = datetime.now(UTC).date()
    assert files == [str(today), str(today + timedelta(days=1))]
    assert read(tmp_path) == counts_of([1.0, 2.0])


def test_a_clock_that_is_set_back_overwrites_no_day(tmp_path: Path, clock: type[Clock]):
    recorder = ScoreRecorder(tmp_path)
    for offset, score in ((0, 1.0), (1, 2.0), (0, 3.0), (9, 4.0)):
        clock.offset = timedelta(days=offset)
        recorder.record(*WHO, score)
        recorder.flush()
    assert read(tmp_path) == counts_of([1.0, 2.0, 3.0, 4.0])


def test_one_category_that_cannot_be_written_keeps_no_other_from_it(tmp_path: Path):
    (tmp_path / "aaa").write_text("in the way")
    with ScoreRecorder(tmp_path) as recorder:
        recorder.record("aaa", 1, "d" * 64, 1.0)
        recorder.record(*WHO, 2.0)
    assert read(tmp_path) == counts_of([2.0])


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "watch").write_text("in the way")
    with ScoreRecorder(tmp_path / "watch") as recorder:
        recorder.record(*WHO, 1.0)
        recorder.flush()
        assert "scores are not being kept for gtrans drift" in caplog.text
        (tmp_path / "watch").unlink()
    assert read(tmp_path / "watch") == counts_of([1.0])  # kept until it could be written


def test_a_damaged_file_is_named(tmp_path: Path):
    record_all(tmp_path, MODEL, "b", [(date(2026, 1, 1), 1.0)])
    [path] = tmp_path.rglob("*.json")
    path.write_text("{}")
    with pytest.raises(StorageError, match=f"{path.name}: not a file of scores"):
        read(tmp_path)


def test_a_category_cannot_lead_out_of_the_folder(tmp_path: Path):
    with pytest.raises(StorageError):
        read_counts(tmp_path / "watch", "../..", "d" * 64)


def test_no_flipped_bit_changes_what_is_counted(tmp_path: Path):
    model = Watched("nut", 1, "d" * 64)
    record_all(tmp_path, model, "w", [(date(2026, 1, 2), 0.5)] * 7)
    [path] = tmp_path.rglob("*.json")
    right, data = read_counts(tmp_path, "nut", model.digest), path.read_bytes()
    for bit in range(0, 8 * len(data), 3):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert read_counts(tmp_path, "nut", model.digest) == right, bit
        except StorageError:
            continue


def test_a_file_of_an_earlier_version_has_no_check_and_is_read(tmp_path: Path):
    folder = tmp_path / "nut" / ("d" * 64)
    folder.mkdir(parents=True)
    facts = {"schema_version": 1, "category": "nut", "version": 1, "digest": "d" * 64}
    (folder / "2026-01-02-w.json").write_text(json.dumps({**facts, "counts": {"5": 3}}))
    assert read_counts(tmp_path, "nut", "d" * 64) == {5: 3}
