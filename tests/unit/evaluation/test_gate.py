"""The gate: passes, refuses, and refuses what is missing, with every reason."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.errors import ConfigError
from gtrans_core.evaluation.gate import Evidence, Gate, Verdict, check_gate

GATE = Gate(
    floors={"image_auroc": 0.9, "au_pro_30": 0.8},
    minimum_gain={"image_auroc": 0.01},
    maximum_loss_per_defect={"caught": 0.1, "au_pro_30": 0.05},
    minimum_test_images=20,
    same_data_as_champion=True,
    as_many_test_images_as_champion=True,
)
CHAMPION = Evidence(
    "d" * 64,
    80,
    {
        "image_auroc": 0.95,
        "au_pro_30": 0.9,
        "defect/dent/caught": 0.8,
        "defect/odd/name/caught": 0.7,
        "defect/odd/name/au_pro_30": 0.9,
    },
)


def candidate(**metrics: float) -> Evidence:
    """Better than the champion in what is compared, but for the changes."""
    return replace(CHAMPION, metrics={**CHAMPION.metrics, "image_auroc": 0.97, **metrics})


def without(evidence: Evidence, *names: str) -> Evidence:
    kept = {name: value for name, value in evidence.metrics.items() if name not in names}
    return replace(evidence, metrics=kept)


def refused(verdict: Verdict, *reasons: str) -> None:
    """Exactly these reasons, in order."""
    assert not verdict.passed
    assert len(verdict.reasons) == len(reasons), verdict.reasons
    for reason, expected in zip(verdict.reasons, reasons, strict=True):
        assert expected in reason


@pytest.mark.parametrize("images", [0, 100])
@pytest.mark.parametrize("champion", [None, CHAMPION])
def test_without_tested_defects_the_gate_stays_closed_for_that_reason(images, champion):
    """Also one without any floor."""
    seen = Evidence("e" * 64, images, {"threshold": 1.0, "false_alarms_observed": 0.0})
    open_gate = GATE.model_copy(update={"floors": {}, "minimum_test_images": 1})
    for gate in (GATE, open_gate):
        refused(check_gate(gate, seen, champion), "no defective image was tested")


def test_a_better_version_passes():
    verdict = check_gate(GATE, candidate(), CHAMPION)
    assert verdict.passed
    assert verdict.reasons == ()


def test_the_first_version_needs_the_floors_only():
    assert check_gate(GATE, CHAMPION, None).passed


class TestFloors:
    def test_passes_at_the_floor(self):
        assert check_gate(GATE, candidate(au_pro_30=0.8), CHAMPION).passed

    def test_fails_below(self):
        verdict = check_gate(GATE, candidate(au_pro_30=0.79), CHAMPION)
        refused(verdict, "au_pro_30 0.7900: expected at least 0.8000 (the floor)")

    def test_missing_fails(self):
        verdict = check_gate(GATE, without(candidate(), "au_pro_30"), CHAMPION)
        refused(verdict, "au_pro_30 not known: expected at least 0.8000")


class TestGain:
    def test_passes_at_the_least_gain(self):
        assert check_gate(GATE, candidate(image_auroc=0.96), CHAMPION).passed

    def test_fails_below_also_when_better(self):
        verdict = check_gate(GATE, candidate(image_auroc=0.955), CHAMPION)
        refused(
            verdict, "image_auroc 0.9550: expected at least 0.9600 (the champion's 0.9500 +0.01)"
        )

    def test_a_champion_without_the_metric_fails(self):
        verdict = check_gate(GATE, candidate(), without(CHAMPION, "image_auroc"))
        refused(verdict, "image_auroc 0.9700: the champion's is not known")

    def test_a_champion_that_is_no_number_fails(self):
        champion = replace(CHAMPION, metrics={**CHAMPION.metrics, "image_auroc": math.nan})
        refused(check_gate(GATE, candidate(), champion), "the champion's is nan")


class TestLossPerDefect:
    def test_passes_at_the_greatest_loss(self):
        changes = {"defect/dent/caught": 0.7, "defect/odd/name/au_pro_30": 0.85}
        assert check_gate(GATE, candidate(**changes), CHAMPION).passed

    def test_fails_beyond_it_for_any_defect(self):
        changes = {"defect/dent/caught": 0.69, "defect/odd/name/au_pro_30": 0.84}
        verdict = check_gate(GATE, candidate(**changes), CHAMPION)
        refused(verdict, "defect/dent/caught 0.6900", "defect/odd/name/au_pro_30 0.8400")

    def test_missing_fails(self):
        verdict = check_gate(GATE, without(candidate(), "defect/dent/caught"), CHAMPION)
        refused(verdict, "defect/dent/caught not known: expected at least 0.7000")

    def test_what_the_champion_never_had_is_not_lost(self):
        assert "defect/dent/au_pro_30" not in CHAMPION.metrics
        assert check_gate(GATE, candidate(), CHAMPION).passed


class TestImages:
    def test_passes_with_as_many(self):
        assert check_gate(GATE, replace(candidate(), test_images=80), CHAMPION).passed

    def test_fails_with_fewer_than_the_champion(self):
        verdict = check_gate(GATE, replace(candidate(), test_images=79), CHAMPION)
        refused(verdict, "test images 79: expected at least the champion's 80")

    def test_fails_with_fewer_than_the_least(self):
        verdict = check_gate(GATE, replace(candidate(), test_images=19), None)
        refused(verdict, "test images 19: expected at least 20")

    def test_missing_fails(self):
        verdict = check_gate(GATE, replace(candidate(), test_images=None), CHAMPION)
        refused(verdict, "test images not known", "test images not known")
        verdict = check_gate(GATE, candidate(), replace(CHAMPION, test_images=None))
        refused(verdict, "expected at least the champion's not known")

    def test_fewer_may_be_allowed(self):
        gate = GATE.model_copy(update={"as_many_test_images_as_champion": False})
        assert check_gate(gate, replace(candidate(), test_images=79), CHAMPION).passed


class TestData:
    def test_fails_on_other_data(self):
        verdict = check_gate(GATE, replace(candidate(), data_digest="e" * 64), CHAMPION)
        refused(verdict, "data eeeeeeeeeeee: expected the champion's dddddddddddd")

    def test_missing_on_both_sides_fails(self):
        nowhere = replace(CHAMPION, data_digest="")
        refused(check_gate(GATE, replace(candidate(), data_digest=""), nowhere), "data not known")

    def test_other_data_may_be_allowed(self):
        gate = GATE.model_copy(update={"same_data_as_champion": False})
        assert check_gate(gate, replace(candidate(), data_digest="e" * 64), CHAMPION).passed


class TestNumbers:
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_metric_that_is_no_number_fails_also_when_no_threshold_names_it(self, value: float):
        verdict = check_gate(GATE, candidate(pixel_ap=value), CHAMPION)
        refused(verdict, f"metrics: pixel_ap is {value}")

    def test_infinity_reaches_no_floor(self):
        verdict = check_gate(GATE, candidate(au_pro_30=math.inf), CHAMPION)
        refused(verdict, "au_pro_30 is inf", "au_pro_30 inf: expected at least")

    def test_no_metric_at_all_fails_also_without_floors(self):
        gate = GATE.model_copy(update={"floors": {}})
        refused(check_gate(gate, replace(CHAMPION, metrics={}), None), "metrics: none is recorded")


def test_every_reason_is_listed():
    bad = Evidence("e" * 64, 10, {"image_auroc": math.nan})
    assert len(check_gate(GATE, bad, CHAMPION).reasons) == 10


class TestThresholds:
    def test_json_and_back(self):
        assert Gate.from_json(GATE.to_json()) == GATE

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (
                {"floors": {"image_aurok": 0.9}},
                "floors.image_aurok.*is not a metric: use one",
            ),
            ({"floors": {"threshold": 0.9}}, "'threshold' is not a metric"),
            ({"floors": {"image_auroc": 1.1}}, "floors.image_auroc: .*less than or equal to 1"),
            ({"floors": {"image_auroc": math.nan}}, "gate: floors.image_auroc"),
            ({"maximum_loss_per_defect": {"pixel_ap": 0.1}}, "maximum_loss_per_defect"),
            ({"minimum_test_images": 0}, "minimum_test_images"),
            ({"floor": {}}, "unknown key 'floor'; a gate has floors, "),
        ],
    )
    def test_what_makes_no_sense_is_named(self, change: dict, message: str):
        with pytest.raises(ConfigError, match=message):
            Gate.read({**GATE.model_dump(), **change}, "gate")

    def test_a_knob_left_out_is_named(self):
        values = {k: v for k, v in GATE.model_dump().items() if k != "floors"}
        with pytest.raises(ConfigError, match="floors: Field required"):
            Gate.from_json(json.dumps(values))

    def test_no_json(self):
        with pytest.raises(ConfigError, match="gate is not JSON"):
            Gate.from_json("{")


shares = st.floats(0, 1)
numbers = st.one_of(shares, st.sampled_from([math.nan, math.inf, -math.inf]))
names = st.sampled_from([*CHAMPION.metrics, "pixel_ap", "defect/dent/au_pro_30"])
gates = st.builds(
    Gate,
    floors=st.dictionaries(names, shares, max_size=3),
    minimum_gain=st.dictionaries(names, st.floats(-1, 1), max_size=3),
    maximum_loss_per_defect=st.dictionaries(
        st.sampled_from(["caught", "image_auroc", "au_pro_30"]), shares
    ),
    minimum_test_images=st.integers(1, 3),
    same_data_as_champion=st.booleans(),
    as_many_test_images_as_champion=st.booleans(),
)
evidence = st.builds(
    Evidence,
    st.sampled_from(["", "a", "b"]),
    st.one_of(st.none(), st.integers(0, 4)),
    st.dictionaries(names, numbers, max_size=6),
)
champions = st.one_of(st.none(), evidence)


class TestProperties:
    @given(gates, evidence, champions, st.lists(st.floats(0, 1), min_size=6, max_size=6))
    def test_improving_every_metric_never_turns_a_pass_into_a_refusal(
        self, gate: Gate, own: Evidence, champion: Evidence | None, gains: list[float]
    ):
        pairs = zip(own.metrics.items(), gains, strict=False)
        better = replace(
            own, metrics={name: max(old, min(1, old + gain)) for (name, old), gain in pairs}
        )
        if check_gate(gate, own, champion).passed:
            assert check_gate(gate, better, champion).passed

    @given(gates, evidence, champions)
    def test_more_test_images_never_hurt(
        self, gate: Gate, own: Evidence, champion: Evidence | None
    ):
        if check_gate(gate, own, champion).passed:
            more = replace(own, test_images=(own.test_images or 0) + 1)
            assert check_gate(gate, more, champion).passed

    @given(gates, evidence, champions, names, st.sampled_from([math.nan, math.inf, -math.inf]))
    def test_a_metric_that_is_no_number_never_passes(
        self, gate: Gate, own: Evidence, champion: Evidence | None, name: str, value: float
    ):
        odd = replace(own, metrics={**own.metrics, name: value})
        assert not check_gate(gate, odd, champion).passed

    @given(gates, evidence, champions)
    def test_losing_a_metric_never_helps_where_a_number_was(
        self, gate: Gate, own: Evidence, champion: Evidence | None
    ):
        if not all(map(math.isfinite, own.metrics.values())):
            return
        full = check_gate(gate, own, champion).passed
        for name in own.metrics:
            assert full or not check_gate(gate, without(own, name), champion).passed

    @given(gates, evidence, evidence)
    def test_a_champion_never_makes_it_easier(self, gate: Gate, own: Evidence, champion: Evidence):
        assert check_gate(gate, own, None).passed or not check_gate(gate, own, champion).passed

    @given(gates, evidence, champions)
    def test_it_passes_exactly_when_there_is_no_reason(
        self, gate: Gate, own: Evidence, champion: Evidence | None
    ):
        verdict = check_gate(gate, own, champion)
        assert verdict.passed == (not verdict.reasons)
