"""What to do next, by rules from what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from gtrans_core.config import GTransConfig, flatten
from gtrans_core.detector.model_name import VERSION, VERSION_NOTE
from gtrans_core.detector.thresholds import needed_images, promised_threshold
from gtrans_core.evaluation.conclusion import Conclusion
from gtrans_core.evaluation.image_table import ImageResult, false_alarms, misses
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.system.text import every

SMALL_DEFECT = 0.01
"""Share of the image below which a defect is small."""
SAME_PLACE = 0.1
"""Distance between two peaks, in shares of the image's side, up to which they are alike."""
_FEWEST_ALIKE = 3
_UNLIKELY = 0.05
_FINEST_TAP = 4


@dataclass(frozen=True)
class NextStep:
    """One thing to do.

    Attributes:
        why: what was measured, in a sentence.
        what: what to do about it, in a sentence.
        command: arguments of ``gtrans`` that do it, without ``--store``; empty where hands do.
            A word in capitals stands for what only the reader knows.
    """

    why: str
    what: str
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What the rules look at.

    Attributes:
        record: of the evaluation.
        conclusion: its verdict.
        config: it was made with, as it was given: what the images settle is not in it.
        seen: height and width in pixels that images are resized to.
        source: what ingest read, as ``--data`` takes it.
        images: a row each.
        sizes: width and height of each image file, by path.
        held_out: scores of the good images that the threshold comes from.
    """

    record: EvaluationRecord
    conclusion: Conclusion
    config: GTransConfig
    seen: tuple[int, int]
    source: str
    images: Sequence[ImageResult]
    sizes: Mapping[str, tuple[int, int]]
    held_out: Sequence[float]


def next_steps(found: Findings) -> tuple[NextStep, ...]:
    """What to do next, the most urgent first; at least one step."""
    return tuple(_steps(found))


def _steps(found: Findings) -> Iterator[NextStep]:
    record = found.record
    if found.conclusion.state == "not_tested":
        yield NextStep(
            "No defective image was tested.",
            "Put a few dozen images of defective parts, of the kinds that matter, below "
            "test/DEFECT, and run again. Until then it cannot become champion.",
            _run(found),
        )
    if found.conclusion.state == "ready":
        yield NextStep(
            "It passes every floor of the gate.",
            "Make it the champion. If there is a champion already, the gate compares them first.",
            ("promote", record.category),
        )
    yield from _about_misses(found)
    yield from _about_false_alarms(found)
    if record.promise is not None and record.promise.falls_short:
        yield NextStep(
            f"{record.held_out} good images cannot promise {_percent(record.promise.wanted)} "
            "false alarms.",
            f"Add good images to train/good until the threshold can come from "
            f"{record.promise.needed}, and run again.",
            _run(found),
        )
    if found.conclusion.state == "not_ready" and not misses(found.images):
        yield NextStep(
            "The gate refuses it, though no defective image is missed.",
            "The verdict above says why. Add what is missing, such as more test images, and run "
            "again.",
            _run(found),
        )


def _about_misses(found: Findings) -> Iterator[NextStep]:
    missed = misses(found.images)
    if not missed:
        return
    small = [row for row in missed if (row.defect_area or 1.0) < SMALL_DEFECT]
    taps = found.config.agn.taps
    finer_exist = taps[0] > _FINEST_TAP and taps[0] < taps[-1]  # a ViT has one stride
    if 2 * len(small) >= len(missed) and finer_exist:
        area = _percent(median(row.defect_area or 0.0 for row in small))
        middle = "" if len(small) == 1 else " (the median)"
        finer = [stride // 2 for stride in taps]
        yield NextStep(
            f"{_of(len(small), len(missed), 'missed image')} {_show(len(small))} a defect that "
            f"covers only {area} of the image{middle}.",
            f"Use finer maps, with a value for every {finer[0]} pixels instead of {taps[0]}. "
            "Training takes about as long, and half as much memory again.",
            _run(found, {"agn.taps": finer}),
        )
    lower = _lower_threshold(found, missed)
    if lower is not None:
        rate, caught, flagged, good = lower
        yield NextStep(
            f"{_of(caught, len(missed), 'missed image')} {_lies(caught)} just below the threshold.",
            f"If {_percent(rate)} false alarms are fine ({flagged} of {good} good test images "
            f"here), promise that instead: it takes seconds, and nothing is trained.{VERSION_NOTE}",
            _recalibrate(found, "--false-alarm-rate", f"{rate:.6g}"),
        )
    if not small and lower is None:
        yield NextStep(
            f"{len(missed)} defective {_images_are(len(missed))} missed, with scores clearly below "
            "the threshold.",
            f"Look at them below, at the {found.seen[1]} x {found.seen[0]} pixels that the network "
            "sees. If you cannot see the defect at that size, use larger images.",
            _run(found, {"image.size": _doubled(found)}),
        )


def _doubled(found: Findings) -> int | list[int]:
    height, width = (2 * side for side in found.seen)
    return height if height == width else [height, width]


def _lower_threshold(
    found: Findings, missed: Sequence[ImageResult]
) -> tuple[float, int, int, int] | None:
    """The least rate that catches half of the misses: rate, caught, good ones flagged, of all."""
    wanted = found.config.evaluation.false_alarm_rate
    for rate in (2 * wanted, 3 * wanted):
        if rate > 0.5 or len(found.held_out) < needed_images(rate):
            continue
        threshold, _ = promised_threshold(found.held_out, rate)
        caught = sum(row.score > threshold for row in missed)
        if 2 * caught >= len(missed):
            good = [row for row in found.images if row.label == "good"]
            return rate, caught, sum(row.score > threshold for row in good), len(good)
    return None


def _about_false_alarms(found: Findings) -> Iterator[NextStep]:
    record, flagged = found.record, false_alarms(found.images)
    alike = _alike(flagged, found.sizes)
    if len(alike) >= _FEWEST_ALIKE and 2 * len(alike) > len(flagged):
        row = alike[0]
        yield NextStep(
            f"{_of(len(alike), len(flagged), 'false alarm')} {_show(len(alike))} the same place "
            f"(about {row.peak_x} pixels from the left and {row.peak_y} from the top, as in "
            f"{row.path}).",
            "If good parts may look like that, add more good images that show it to train/good, "
            "and run again.",
            _run(found),
        )
    elif _chance_of(len(flagged), record.good_images, record.false_alarm_rate) < _UNLIKELY:
        yield NextStep(
            f"{len(flagged)} of {record.good_images} good test images are flagged, more than "
            f"chance explains at a rate of {_percent(record.false_alarm_rate)}.",
            "The good test images differ from the training images. Set a new threshold from fresh "
            "good images (FOLDER) of the same days, light and camera. It takes seconds."
            f"{VERSION_NOTE}",
            _recalibrate(found, "--good", "FOLDER"),
        )


def _alike(rows: Sequence[ImageResult], sizes: Mapping[str, tuple[int, int]]) -> list[ImageResult]:
    """The most rows whose peaks are all near one of them, that one first."""
    places = [(row.peak_x / sizes[row.path][0], row.peak_y / sizes[row.path][1]) for row in rows]
    near = (
        [i for i, place in enumerate(places) if math.dist(place, middle) <= SAME_PLACE]
        for middle in places
    )
    groups = [[at, *(i for i in found if i != at)] for at, found in enumerate(near)]
    return [rows[i] for i in max(groups, key=len, default=[])]


def _chance_of(count: int, images: int, rate: float) -> float:
    """Probability that ``count`` or more of the images are flagged, each with this rate."""
    if not count:
        return 1.0
    from scipy.special import bdtrc

    return float(bdtrc(count - 1, images, rate))


def _recalibrate(found: Findings, *options: str) -> tuple[str, ...]:
    """This very detector with a new threshold."""
    return ("recalibrate", found.record.category, *options, "--version", VERSION)


def _run(found: Findings, changes: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The run of this evaluation again, with its config and these changes."""
    usual = flatten(GTransConfig())
    config = {**flatten(found.config), **(changes or {})}
    overrides = [
        f"--set={key}={_toml(value)}" for key, value in config.items() if value != usual.get(key)
    ]
    where = ["--category", found.record.category, "--data", found.source]
    return ("run", *where, *overrides)


def _toml(value: Any) -> str:
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)


def _of(count: int, total: int, noun: str) -> str:
    if total == 1:
        return f"The {noun}"
    return f"{every(total)} {noun}s" if count == total else f"{count} of {total} {noun}s"


def _show(count: int) -> str:
    return "shows" if count == 1 else "show"


def _lies(count: int) -> str:
    return "lies" if count == 1 else "lie"


def _images_are(count: int) -> str:
    return "image is" if count == 1 else "images are"


def _percent(share: float) -> str:
    return f"{100 * share:.2g}\u00a0%"
