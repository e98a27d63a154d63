"""Scoring a sample of images again, each under every change of light, sharpness and position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gtrans_core.config import GTransConfig, digest_of
from gtrans_core.data.images import decode_view
from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.data.reading import read_image
from gtrans_core.data.view import View, as_seen
from gtrans_core.detector.detector import Detector
from gtrans_core.evaluation.perturbations import PERTURBATIONS
from gtrans_core.evaluation.robustness import Outcome, Robustness


@dataclass(frozen=True)
class Chosen:
    """Images to try: where each lies, good ones and defective ones."""

    good: tuple[tuple[Manifest, Sample], ...]
    defective: tuple[tuple[Manifest, Sample], ...]


def choose(
    train: Manifest, test: Manifest, held_out: Iterable[str], most: int, seed: int
) -> Chosen:
    """A sample of the good images that nothing was learnt from, and of the defective ones.

    Drawn by content and seed, each content once: names and copies change nothing.

    Args:
        train: the training split.
        test: the test split.
        held_out: digests of the training images that were never learnt from.
        most: so many of each, at most.
        seed: of the draw.
    """
    kept = set(held_out)
    pool = [
        *((train, sample) for sample in train.samples if sample.sha256 in kept),
        *((test, sample) for sample in test.samples),
    ]

    def drawn(is_good: bool) -> tuple[tuple[Manifest, Sample], ...]:
        found = {item[1].sha256: item for item in pool if item[1].is_good == is_good}
        order = sorted(found, key=lambda digest: digest_of([seed, digest]))
        return tuple(found[digest] for digest in order[:most])

    return Chosen(drawn(is_good=True), drawn(is_good=False))


def try_changes(
    detector: Detector,
    chosen: Chosen,
    on_progress: Callable[[int, int], None],
) -> Robustness | None:
    """Score them as they are and under each change, by what is packaged; None where there are none.

    Each image is decoded once. A score depends on its own image alone, noise too.

    Raises:
        DataError: when an image is gone, changed or damaged.
        ModelError: when a score is not a number.
    """
    everything = (*chosen.good, *chosen.defective)
    if not everything:
        return None
    verdicts = []
    for done, (manifest, sample) in enumerate(everything, start=1):
        views = _views(detector.info.config, read_image(manifest, sample), sample)
        verdicts.append([detector.judge_view(view).is_anomalous for view in views])
        on_progress(done, len(everything))
    flagged_good = _sums(verdicts[: len(chosen.good)])
    flagged_defective = _sums(verdicts[len(chosen.good) :])
    missed = [len(chosen.defective) - flagged for flagged in flagged_defective]
    promise, wanted = detector.info.promise, detector.info.config.evaluation.false_alarm_rate
    return Robustness(
        good=len(chosen.good),
        defective=len(chosen.defective),
        flagged=flagged_good[0],
        missed=missed[0],
        promised=promise.rate if promise else wanted,
        outcomes=tuple(
            Outcome(name=one.name, group=one.group, flagged=alarms, missed=misses)
            for one, alarms, misses in zip(PERTURBATIONS, flagged_good[1:], missed[1:], strict=True)
        ),
    )


def _views(config: GTransConfig, data: bytes, sample: Sample) -> Iterator[View]:
    """What the network sees of an image: as it is, then under each change."""
    # All of the picture is changed as it was taken; only then is it seen as the detector sees it.
    as_taken = config.image.model_copy(update={"region": None, "exposure": "as_taken"})
    whole = decode_view(data, sample.path, as_taken)
    yield as_seen(whole, config.image)
    for number, one in enumerate(PERTURBATIONS):
        drawn = np.random.default_rng([config.seed, number, int(sample.sha256[:16], 16)])
        yield as_seen(one.make(whole, drawn), config.image)


def _sums(verdicts: Sequence[Sequence[bool]]) -> list[int]:
    """How many images are flagged, for each way in which they were shown."""
    return [sum(way) for way in zip(*verdicts, strict=True)] or [0] * (1 + len(PERTURBATIONS))
