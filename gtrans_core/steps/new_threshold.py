"""The new threshold of a registered detector, by the rule of every other threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gtrans_core.config import GTransConfig
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import DetectorInfo
from gtrans_core.detector.promise import promise_of
from gtrans_core.detector.reading import reading
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.errors import ConfigError, DataError


def recalibrated(
    detector: Detector, fresh: Mapping[str, tuple[str, bytes]], rate: float | None
) -> DetectorInfo:
    """The facts of the same networks with a new threshold.

    Args:
        detector: as it was registered.
        fresh: name and bytes of each fresh good image by its sha256; none: the scores that set
            the threshold before.
        rate: false-alarm rate to promise, in (0, 1); None: the detector's.

    Raises:
        ConfigError: for a rate out of its range.
        DataError: when fresh images cannot be read; it names each.
    """
    info = detector.info
    config = _at_rate(info.config, rate)
    wanted = config.evaluation.false_alarm_rate
    changes: dict[str, object] = {"config": config}
    scores: Sequence[float] = info.held_out_scores
    folds = info.promise.folds if info.promise else None
    if fresh:
        readings = _readings(detector, fresh)
        scores, folds = tuple(readings[:, 0].tolist()), None
        if info.map_middle is not None:
            changes["map_middle"] = promised_threshold(readings[:, 1], wanted)[0]
    threshold, reached = promised_threshold(scores, wanted)
    promise = promise_of(len(scores), reached, wanted, folds)
    changes |= {"threshold": threshold, "held_out_scores": scores, "promise": promise}
    return info.model_copy(update=changes)


def source_of(info: DetectorInfo, fresh: int) -> str:
    """Where a new threshold comes from, as a sentence; ``fresh`` images were given for it."""
    count = len(info.held_out_scores)
    images = (
        f"{count} fresh good images" if fresh else f"the {count} good images that set it before"
    )
    if info.promise is not None and info.promise.falls_short:
        return f"It comes from {images}, which can promise {info.promise.at_best}."
    rate = 100 * info.config.evaluation.false_alarm_rate
    return f"It comes from {images}, for a false-alarm rate of {rate:.3g} %."


def _readings(
    detector: Detector, fresh: Mapping[str, tuple[str, bytes]]
) -> npt.NDArray[np.float64]:
    """Score, and what it would be if it were read from the heat map, of each image [N, 2]."""
    config = detector.info.config
    rows, problems = [], []
    for name, data in fresh.values():
        try:
            rows.append(reading(detector.engine, detector.view(data, name), config))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError("\n  ".join([f"{len(problems)} images cannot be read:", *problems]))
    return np.array(rows)


def _at_rate(config: GTransConfig, rate: float | None) -> GTransConfig:
    if rate is None:
        return config
    if not 0 < rate < 1:
        raise ConfigError(f"false-alarm rate is {rate}: expected a share between 0 and 1")
    evaluation = config.evaluation.model_copy(update={"false_alarm_rate": rate})
    return config.model_copy(update={"evaluation": evaluation})
