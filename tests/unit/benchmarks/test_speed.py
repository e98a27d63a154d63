"""The speed benchmark: its arithmetic, its files, and that scoring has not become slower."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks.speed.__main__ import PAGE, PARTS, RESULTS, record, show
from benchmarks.speed.clock import exponent, side_by_side, timed
from benchmarks.speed.decoding import FILES, file_of
from benchmarks.speed.floor import cpu_name, operations, scene_bytes
from benchmarks.speed.reference import reference_convolution
from benchmarks.speed.subject import make_scorer, packaged, view_of

LOSS = 1.2
"""How much slower than recorded is too slow."""
ROUNDS = 4


def test_tasks_take_turns_and_their_medians_are_in_milliseconds():
    order: list[str] = []

    def task(name: str, *seconds: float):
        left = iter(seconds)

        def run() -> float:
            order.append(name)
            return next(left)

        return run

    tasks = {"a": task("a", 9.0, 0.001, 0.003, 0.002), "b": task("b", 9.0, 0.5, 0.5, 0.1)}
    assert side_by_side(tasks, repeats=3, warm_up=1) == {"a": 2.0, "b": 500.0}
    assert order == ["a", "b"] * 4


def test_the_exponent_of_a_power_law():
    assert exponent([1, 10, 100], [3, 300, 30_000]) == 2
    assert exponent([1, 2, 4], [5, 5, 5]) == 0


def test_operations_and_bytes_are_counted(tmp_path: Path):
    # Without tokens, whose number does not depend on the image's size.
    no_tokens = "research.guidance=none"
    small, large = (make_scorer(tmp_path, no_tokens, f"image.size={size}") for size in (64, 128))
    assert operations(large, 128) == pytest.approx(4 * operations(small, 64), rel=0.05)
    assert scene_bytes(large) == 4 * scene_bytes(small)
    # 128 principal maps of 40 x 8 x 8, 112 x 4 x 4 and 320 x 2 x 2 bytes, read twice.
    assert scene_bytes(small) == 2 * 128 * (2560 + 1792 + 1280)


@pytest.mark.parametrize("kind", list(FILES))
def test_a_cameras_file_has_its_size_and_mode(kind: str):
    mode, file_format, _ = FILES[kind]
    image = Image.open(io.BytesIO(file_of(kind, (1100, 300))))
    assert (image.size, image.mode, image.format) == ((1100, 300), mode, file_format)


def test_a_part_replaces_its_own_numbers_and_table_only(tmp_path: Path):
    results, page = tmp_path / "speed.json", tmp_path / "speed.md"
    page.write_text("x\n<!-- a -->\nold\n<!-- end of a -->\ny\n<!-- b -->\n<!-- end of b -->\n")
    record(results, "a", {"n": 1})
    record(results, "b", {"n": 2})
    record(results, "a", {"n": 3})
    assert json.loads(results.read_text()) == {"machine": cpu_name(), "a": {"n": 3}, "b": {"n": 2}}
    show(page, "a", r"new \1")
    assert page.read_text() == (
        "x\n<!-- a -->\nnew \\1\n<!-- end of a -->\ny\n<!-- b -->\n<!-- end of b -->\n"
    )
    with pytest.raises(ValueError, match="expected one place"):
        show(page, "c", "table")


def test_what_is_recorded_is_what_the_page_shows():
    recorded, page = json.loads(RESULTS.read_bytes()), PAGE.read_text(encoding="utf-8")
    assert set(recorded) == {"machine", *PARTS}
    for name, part in PARTS.items():
        assert f"<!-- {name} -->\n{part.table(recorded[name])}\n<!-- end of {name} -->" in page


def test_scoring_is_not_a_fifth_slower_than_recorded(tmp_path: Path):
    """Both beside a fixed piece of work of this very minute, so that a busy machine does not count.

    The best of a few rounds: something else on the machine can only make a round slower.
    """
    recorded = json.loads(RESULTS.read_bytes())
    if recorded["machine"] != cpu_name():
        pytest.skip(f"recorded on another processor: {recorded['machine']}")
    score = recorded["score"]
    expected = score["gtrans"]["onnxruntime"]["cpu_ms"] / score["reference"]["cpu_ms"]
    torch.set_num_threads(1)
    engine, view = packaged(make_scorer(tmp_path, "image.size=256"), 256), view_of(256)
    tasks = {
        "score": timed(lambda: engine.score_view(view)),
        "reference": timed(reference_convolution()),
    }
    ratios = []
    for _ in range(ROUNDS):
        found = side_by_side(tasks, repeats=9)
        ratios.append(found["score"] / found["reference"])
        if ratios[-1] <= LOSS * expected:
            return
    pytest.fail(f"scoring takes {min(ratios):.2f} references, {expected:.2f} were recorded")


def test_no_recorded_cost_grows_faster_than_images_pixels_or_categories():
    """Measured anew by ``make bench-speed``. Over the input's side, 2 is linear in pixels."""
    for name, curve in json.loads(RESULTS.read_bytes())["growth"].items():
        linear = 2 if name.endswith("over the input's side") else 1
        assert curve["exponent"] <= 1.1 * linear, name
        assert curve["exponent"] == exponent(curve["sizes"], curve["costs"]), name
