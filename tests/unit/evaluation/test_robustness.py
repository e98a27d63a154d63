"""What a detector bears: which images are tried, what is counted, and by which rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gtrans_core.data.images import decode_view
from gtrans_core.data.manifest import Manifest
from gtrans_core.data.reading import read_image
from gtrans_core.detector.detector import Detector
from gtrans_core.errors import ModelError
from gtrans_core.evaluation.perturbations import PERTURBATIONS
from gtrans_core.evaluation.perturbed import choose, try_changes
from gtrans_core.evaluation.robustness import Outcome, Robustness
from tests.support.detectors import make_scorer
from tests.support.records import detector_info, evaluation_record
from tests.support.tiny import photos, tiny_config

DARKER = [one.name for one in PERTURBATIONS].index("25 % darker")


class Brightest:
    """Scores a view by its mean, and remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def score_view(self, view: np.ndarray) -> tuple[np.ndarray, float]:
        self.shown.append(view)
        return np.zeros(view.shape[1:], np.float32), float(view.mean())


@pytest.fixture
def train(tmp_path: Path) -> Manifest:
    return photos(tmp_path / "train", 6)


@pytest.fixture
def test_split(tmp_path: Path) -> Manifest:
    """Photos 0 to 7: two good ones that training has not, and of all others defects."""
    all_ = photos(tmp_path / "test", 8)
    kinds = ["dent"] * 6 + ["good"] * 2
    samples = [s.model_copy(update={"defect": d}) for s, d in zip(all_.samples, kinds, strict=True)]
    return all_.model_copy(update={"split": "test", "samples": tuple(samples)})


def outcome(flagged: int, missed: int = 0) -> Outcome:
    return Outcome(name="darker", group="light", flagged=flagged, missed=missed)


def robustness(flagged: int, missed: int, *outcomes: Outcome, count: int = 40) -> Robustness:
    return Robustness(
        good=count,
        defective=count,
        flagged=flagged,
        missed=missed,
        promised=0.05,
        outcomes=outcomes,
    )


def test_only_good_images_that_nothing_was_learnt_from_are_tried(
    train: Manifest, test_split: Manifest
) -> None:
    held_out = {train.samples[1].sha256, train.samples[4].sha256}
    chosen = choose(train, test_split, held_out, most=100, seed=0)
    good = {sample.sha256 for _, sample in chosen.good}
    assert good == held_out | {s.sha256 for s in test_split.samples if s.is_good}
    assert len(chosen.defective) == 6


def test_the_sample_is_the_seeds_and_not_the_names_or_the_order(
    train: Manifest, test_split: Manifest
) -> None:
    def drawn(split: Manifest, seed: int) -> list[str]:
        return [sample.sha256 for _, sample in choose(train, split, (), 3, seed).defective]

    turned = test_split.model_copy(update={"samples": test_split.samples[::-1]})
    assert drawn(turned, 0) == drawn(test_split, 0)
    assert len({tuple(drawn(test_split, seed)) for seed in range(5)}) > 1
    assert not choose(train, test_split, (), 0, 0).defective


def test_counts_are_of_the_packaged_detector_at_its_threshold(
    train: Manifest, test_split: Manifest
) -> None:
    config = tiny_config()
    views = [
        decode_view(read_image(test_split, s), s.path, config.image) for s in test_split.samples
    ]
    means = [view.mean() for view in views]
    threshold = 0.9 * min(means)  # as they are all are above it; darker by a quarter most are not
    darker = [np.clip(np.rint(view * 0.75), 0, 255).mean() for view in views]
    engine = Brightest()
    detector = Detector(engine, detector_info(config, threshold=threshold))
    told: list[tuple[int, int]] = []
    chosen = choose(train, test_split, (), 100, 0)
    found = try_changes(detector, chosen, lambda done, total: told.append((done, total)))
    assert found is not None
    assert (found.good, found.flagged, found.defective, found.missed) == (2, 2, 6, 0)
    assert found.outcomes[DARKER].missed == sum(mean <= threshold for mean in darker[:6]) > 0
    assert found.outcomes[DARKER].flagged == sum(mean > threshold for mean in darker[6:])
    assert [one.name for one in found.outcomes] == [one.name for one in PERTURBATIONS]
    assert told[-1] == (8, 8)
    assert len(engine.shown) == 8 * (1 + len(PERTURBATIONS))
    assert try_changes(detector, chosen, lambda *_: None) == found


def test_an_images_verdicts_do_not_depend_on_other_images(
    train: Manifest, test_split: Manifest
) -> None:
    detector = Detector(make_scorer(tiny_config()), detector_info(tiny_config(), threshold=1e9))
    one = test_split.model_copy(update={"samples": test_split.samples[:1]})
    scores = []
    for split in (one, test_split):
        seen = Brightest()
        alone = Detector(seen, detector.info)
        try_changes(alone, choose(train, split, (), 100, 0), lambda *_: None)
        scores.append({view.tobytes() for view in seen.shown})
    assert scores[0] <= scores[1]


def test_light_changes_the_whole_picture_and_outside_the_region_stays_black(
    test_split: Manifest, train: Manifest
) -> None:
    config = tiny_config("image.region=[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]")
    engine = Brightest()
    detector = Detector(engine, detector_info(config))
    try_changes(detector, choose(train, test_split, (), 1, 0), lambda *_: None)
    moved = engine.shown[1 + [one.name for one in PERTURBATIONS].index("moved by 5 %")]
    assert not moved[:, :, 32:].any()
    assert moved[:, :, :32].any(axis=0).all()  # nothing black has moved in


def test_without_images_nothing_is_said(train: Manifest) -> None:
    empty = train.model_copy(update={"samples": ()})
    detector = Detector(Brightest(), detector_info(tiny_config()))
    assert try_changes(detector, choose(train, empty, (), 5, 0), lambda *_: None) is None


def test_a_score_that_is_no_number_is_refused(train: Manifest, test_split: Manifest) -> None:
    class Broken(Brightest):
        def score_view(self, view: np.ndarray) -> tuple[np.ndarray, float]:
            return super().score_view(view)[0], float("nan")

    detector = Detector(Broken(), detector_info(tiny_config()))
    with pytest.raises(ModelError, match="the score is nan"):
        try_changes(detector, choose(train, test_split, (), 1, 0), lambda *_: None)


@pytest.mark.parametrize(
    ("before", "after", "more"),
    [(0, 4, False), (0, 5, True), (4, 8, False), (4, 9, True), (9, 0, False)],
)
def test_more_than_twice_the_false_alarms_are_not_borne(
    before: int, after: int, more: bool
) -> None:
    """Of 40 good images 2 may be flagged, by the promise of 5 %."""
    found = robustness(before, 0, outcome(after))
    assert found.has_more_alarms(found.outcomes[0]) is more
    assert found.bears(found.outcomes[0]) is not more


@pytest.mark.parametrize(("before", "after", "more"), [(3, 7, False), (3, 8, True), (3, 0, False)])
def test_a_tenth_more_misses_is_not_borne(before: int, after: int, more: bool) -> None:
    found = robustness(0, before, outcome(0, after))
    assert found.has_more_misses(found.outcomes[0]) is more


def test_a_single_image_more_is_not_a_finding() -> None:
    found = robustness(0, 0, outcome(1, 1), count=1)
    assert found.not_borne == ()


def test_mlflow_shows_the_worst_of_it() -> None:
    found = robustness(0, 0, outcome(10, 0), outcome(0, 20))
    assert (
        evaluation_record(robustness=found).numbers()
        | {
            "changes_not_borne": 2,
            "worst_change_false_alarm_rate": 0.25,
            "worst_change_miss_rate": 0.5,
        }
        == evaluation_record(robustness=found).numbers()
    )
    assert "changes_not_borne" not in evaluation_record().numbers()
    good_only = found.model_copy(update={"defective": 0})
    assert "worst_change_miss_rate" not in good_only.numbers()


def test_a_record_of_before_has_none(tmp_path: Path) -> None:
    record = evaluation_record()
    (tmp_path / "record.json").write_text(record.model_dump_json(exclude={"robustness"}))
    assert type(record).read(tmp_path).robustness is None
