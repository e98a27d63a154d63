"""Which days are compared, of which version, and how the step ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest

from gtrans_core.detector.files import detector_digest, read_info
from gtrans_core.errors import ConfigError, DriftError, ModelError
from gtrans_core.steps.check_drift import check_drift, first_day, judge_version
from gtrans_core.steps.context import RunContext
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.watch.record import Watched, record_all

TODAY = date(2026, 1, 31)
STEP = "gtrans_core.steps.check_drift"
HOW = {"alpha": 0.01, "defect_share": 0.05}


@pytest.mark.parametrize(
    ("since", "first"),
    [
        ("", None),
        ("2026-01-02", date(2026, 1, 2)),
        ("1d", TODAY),
        ("7d", date(2026, 1, 25)),
    ],
)
def test_first_day(since: str, first: date | None):
    assert first_day(since, TODAY) == first


@pytest.mark.parametrize("since", ["yesterday", "7", "-3d", "2026-13-01", "99999d"])
def test_what_is_no_day_is_refused(since: str):
    with pytest.raises(ConfigError, match=f"since is '{since}': expected a day"):
        first_day(since, TODAY)


@pytest.fixture
def registry(tiny_detector: Path) -> Iterator[MagicMock]:
    """A registry whose champion, challenger and version 5 are the tiny detector."""

    def find(client: object, uri: str) -> ModelVersion:
        name, *_ = uri.removeprefix("models:/").partition("@")
        known = {"gtrans-part@champion": 3, "gtrans-new@challenger": 1, "gtrans-part/5": 5}
        if (key := uri.removeprefix("models:/")) not in known:
            raise ModelError(f"{uri}: not in the registry")
        return ModelVersion(name.partition("/")[0], known[key], "", "")

    def fetch(client: object, uri: str, folder: Path, trust: object) -> Path:
        return Path(shutil.copytree(tiny_detector, folder / "detector"))

    with (
        patch(f"{STEP}.connect_existing", autospec=True),
        patch(f"{STEP}.fetch_model", autospec=True, side_effect=fetch) as fetched,
        patch(f"{STEP}.version_now", autospec=True, side_effect=find),
        patch(
            "gtrans_core.tracking.registry.versions.version_now", autospec=True, side_effect=find
        ),
    ):
        yield fetched


def keep(store: Path, tiny_detector: Path, factor: float, days_ago: int = 0) -> None:
    """Each held-out score, times a factor, four times."""
    info = read_info(tiny_detector)
    day = datetime.now(UTC).date() - timedelta(days=days_ago)
    model = Watched(info.category, 3, detector_digest(tiny_detector))
    scores = [(day, score * factor) for score in info.held_out_scores] * 4
    record_all(store / "watch", model, f"b{days_ago}", scores)


def test_the_champion_is_judged_by_the_days_asked_for(
    registry: MagicMock, tiny_detector: Path, tmp_path: Path
):
    keep(tmp_path, tiny_detector, 1.0)
    keep(tmp_path, tiny_detector, 2.0, days_ago=7)
    model, drift = judge_version(tmp_path, "sqlite:///m.db", "part", since="7d", **HOW)
    assert (model.version, drift.verdict, drift.images) == (3, "fine", 96)
    assert registry.call_args.args[1] == "models:/gtrans-part/3"
    _, drift = judge_version(tmp_path, "sqlite:///m.db", "part", **HOW)
    assert drift.images == 192


def test_another_version_and_a_category_without_champion(
    registry: MagicMock, tiny_detector: Path, tmp_path: Path
):
    model, drift = judge_version(tmp_path, "sqlite:///m.db", "part", version=5, **HOW)
    assert (model.version, drift.verdict) == (5, "not enough images")
    model, _ = judge_version(tmp_path, "sqlite:///m.db", "new", **HOW)
    assert model.version == 1
    with pytest.raises(ModelError, match="gtrans-none@challenger: not in the registry"):
        judge_version(tmp_path, "sqlite:///m.db", "none", **HOW)


@pytest.mark.usefixtures("registry")
def test_the_step_fails_on_drift_or_returns_it(tiny_detector: Path, tmp_path: Path):
    settings = RunContext("r", "part", str(tmp_path), "sqlite:///m.db", "e")
    assert check_drift(settings, since="", fail_on_drift=True, **HOW) == "not enough images"
    keep(tmp_path, tiny_detector, 3.0)
    assert check_drift(settings, since="", fail_on_drift=False, **HOW) == "retrain"
    with pytest.raises(DriftError, match="gtrans-part version 3: retrain: good scores moved"):
        check_drift(settings, since="", fail_on_drift=True, **HOW)
