"""What a training takes of its machine, in the journal's format."""

from __future__ import annotations

import json
import time
from pathlib import Path

from gtrans_core.training.journal import SYSTEM_JOURNAL
from gtrans_core.training.system_metrics import sampled


def test_samples_come_while_it_runs_and_one_at_the_end(tmp_path: Path):
    (tmp_path / SYSTEM_JOURNAL).write_text("of before\n")
    with sampled(tmp_path, interval_s=0.01):
        time.sleep(0.1)
    rows = [json.loads(line) for line in (tmp_path / SYSTEM_JOURNAL).read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(len(rows)))
    assert len(rows) > 1
    for row in rows:
        assert 0 <= row["values"]["system/cpu_utilization_percentage"] <= 100
        assert row["values"]["system/process_memory_megabytes"] > 1


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path):
    with sampled(tmp_path / "gone", interval_s=0.01):
        time.sleep(0.02)
