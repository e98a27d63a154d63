"""What other thresholds would do: each counted as the detector counts."""

from gtrans_core.evaluation.other_thresholds import threshold_rows
from tests.support.evaluations import image_result

GOOD = [image_result(kind="good", score=score) for score in (0.1, 0.5, 0.97)]
BAD = [image_result(score=score) for score in (0.9, 0.96, 2.0)]
HELD_OUT = [number / 100 for number in range(1, 101)]


def test_rows_rise_and_count_what_each_would_miss_and_flag():
    rows = threshold_rows([*GOOD, *BAD], HELD_OUT, 0.96, 0.05)
    assert [row.threshold for row in rows] == sorted(row.threshold for row in rows)
    found = {name: (row.missed, row.false_alarms) for row in rows for name in row.names}
    assert found["in use: promises 5\u00a0% false alarms"] == (2, 1)  # 0.96 is not above 0.96
    assert found["the lowest without a false alarm here"] == (2, 0)
    assert found["the highest that misses nothing here"] == (0, 1)
    assert found["promises 20\u00a0% false alarms"] == (0, 1)
    assert found["promises 1\u00a0% false alarms"] == (2, 0)
    assert [row.threshold for row in rows if row.in_use] == [0.96]


def test_what_too_few_images_cannot_promise_is_left_out():
    rows = threshold_rows([*GOOD, *BAD], [0.2, 0.3], 0.3, 1 / 3)
    names = [name for row in rows for name in row.names]
    assert not any(name.startswith("promises") for name in names)
    assert "in use: promises 33.3\u00a0% false alarms" in names


def test_one_threshold_that_is_several_has_all_their_names():
    rows = threshold_rows(GOOD, HELD_OUT, 0.97, 0.05)
    assert any(len(row.names) == 2 and row.in_use for row in rows)
