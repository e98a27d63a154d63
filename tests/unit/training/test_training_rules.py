"""What training decides before its first step: the split, the learning rate, device and key."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gtrans_core.config import GTransConfig, TrainingConfig
from gtrans_core.config.training import STEPS
from gtrans_core.errors import TrainingError
from gtrans_core.training.device import choose_device, choose_precision, thread_count
from gtrans_core.training.key import training_key
from gtrans_core.training.learning_rate import learning_rate
from gtrans_core.training.processes import Crew
from gtrans_core.training.split import hold_out

digests = st.sets(st.integers(0, 10**6), min_size=2, max_size=60).map(
    lambda numbers: [f"{number:064x}" for number in numbers]
)


def give_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


class TestHoldOut:
    @given(digests, st.floats(0.05, 0.95), st.integers(0, 100), st.randoms())
    def test_a_partition_by_content(self, names, fraction, seed, random) -> None:
        count = round(fraction * len(names))
        if not 0 < count < len(names):
            with pytest.raises(TrainingError, match="cannot be split"):
                hold_out(names, fraction, seed)
            return
        training, held_out = hold_out(names, fraction, seed)
        assert sorted(training + held_out) == list(range(len(names)))
        assert len(held_out) == count
        assert hold_out(names, fraction, seed) == (training, held_out)
        shuffled = random.sample(names, len(names))
        _, again = hold_out(shuffled, fraction, seed)
        assert {shuffled[i] for i in again} == {names[i] for i in held_out}

    def test_the_seed_decides(self) -> None:
        names = [f"{number:064x}" for number in range(40)]
        splits = {tuple(hold_out(names, 0.2, seed)[1]) for seed in range(20)}
        assert len(splits) == 20

    def test_every_image_is_equally_likely(self) -> None:
        """No bias to an end of the list: 400 seeds hold each of 10 images out about 80 times."""
        names = [f"{number:064x}" for number in range(10)]
        counts = [0] * 10
        for seed in range(400):
            for position in hold_out(names, 0.2, seed)[1]:
                counts[position] += 1
        assert sum(counts) == 800
        assert 50 < min(counts) <= max(counts) < 110  # 80, standard deviation 8

    @pytest.mark.parametrize(("count", "fraction"), [(1, 0.5), (2, 0.1), (5, 0.95), (0, 0.2)])
    def test_an_empty_side_is_one_line(self, count: int, fraction: float) -> None:
        with pytest.raises(TrainingError, match=f"^{count} good training images") as caught:
            hold_out([f"{n:064x}" for n in range(count)], fraction, 0)
        assert "\n" not in str(caught.value)


class TestLearningRate:
    @given(st.integers(10, 400), st.floats(1e-5, 1.0))
    @settings(deadline=None, max_examples=40)
    def test_one_cycle_is_torchs(self, steps: int, peak: float) -> None:
        config = TrainingConfig(learning_rate=peak)
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        reference = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=peak, total_steps=steps, pct_start=0.3, cycle_momentum=False
        )
        for step in range(steps):
            expected = reference.get_last_lr()[0]
            assert learning_rate(step, steps, 5, config) == pytest.approx(expected, rel=1e-9)
            optimizer.step()
            if step + 1 < steps:
                reference.step()

    @given(st.integers(1, 30), st.integers(1, 10))
    def test_one_cycle_of_any_length_is_positive_and_below_its_peak(
        self, epochs: int, steps_per_epoch: int
    ) -> None:
        config = TrainingConfig(epochs=epochs)
        steps = epochs * steps_per_epoch
        rates = [learning_rate(step, steps, steps_per_epoch, config) for step in range(steps)]
        assert all(0 < rate <= config.learning_rate for rate in rates)

    def test_power_falls_by_a_tenth_over_the_epochs(self) -> None:
        """lr x 0.9^(epoch / epochs), constant within an epoch, as in the authors' code."""
        config = TrainingConfig(schedule="power", learning_rate=1e-3, epochs=4)
        rates = [learning_rate(step, 8, 2, config) for step in range(8)]
        expected = [1e-3 * 0.9 ** (epoch / 4) for epoch in (0, 0, 1, 1, 2, 2, 3, 3)]
        assert rates == pytest.approx(expected, rel=1e-12)


class TestDevice:
    def test_no_cuda_where_cuda_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(TrainingError, match="no CUDA device is visible; use auto"):
            choose_device(TrainingConfig(device="cuda"))
        assert choose_device(TrainingConfig(device="auto")).type == "cpu"

    @pytest.mark.parametrize(("asked", "chosen"), [("auto", "cuda"), ("cpu", "cpu")])
    def test_a_gpu_is_taken_unless_the_cpu_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, asked: str, chosen: str
    ) -> None:
        give_gpus(monkeypatch, 1)
        assert choose_device(TrainingConfig(device=asked)).type == chosen

    def test_each_process_has_a_gpu_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        give_gpus(monkeypatch, 2)
        monkeypatch.setenv("LOCAL_RANK", "1")
        assert choose_device(TrainingConfig(processes=2)) == torch.device("cuda", 1)
        with pytest.raises(TrainingError, match=r"training\.processes is 3, but 2 GPUs"):
            choose_device(TrainingConfig(processes=3))

    def test_threads(self) -> None:
        assert thread_count(TrainingConfig(threads=3)) == 3
        assert thread_count(TrainingConfig()) >= 1
        assert thread_count(TrainingConfig(threads=4, processes=2)) == 2
        assert thread_count(TrainingConfig(threads=1, processes=2)) == 1


class TestPrecision:
    @pytest.mark.parametrize(
        ("asked", "device", "has_bf16", "chosen"),
        [
            ("auto", "cuda", True, torch.bfloat16),
            ("auto", "cuda", False, torch.float32),
            ("auto", "cpu", True, torch.float32),
            ("fp32", "cuda", True, torch.float32),
            ("bf16", "cpu", False, torch.bfloat16),
        ],
    )
    def test_bf16_only_where_it_pays_or_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch, asked: str, device: str, has_bf16: bool, chosen
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bf16)
        config = TrainingConfig(precision=asked)
        assert choose_precision(config, torch.device(device)) == chosen


class TestCrew:
    def test_parts_of_a_batch_are_disjoint_and_whole(self) -> None:
        batch = torch.tensor([5, 3, 8, 1])
        parts = [Crew(rank, 2).share(batch).tolist() for rank in range(2)]
        assert parts == [[5, 8], [3, 1]]
        assert Crew().share(batch).tolist() == batch.tolist()

    def test_a_batch_that_cannot_be_shared_is_refused(self) -> None:
        with pytest.raises(TrainingError, match=r"make training\.batch_size a multiple"):
            Crew(0, 3).share(torch.arange(4))


class TestKey:
    @pytest.mark.parametrize(
        "override",
        [
            "seed=1",
            "trans.backbone=agn",
            "trans.token_width=32",
            "trans.tokens_per_map=8",
            "trans.passes=1",
            "research.layer_norm=false",
            "research.guidance=student",
            "training.epochs=5",
            "training.batch_size=8",
            "training.learning_rate=2e-3",
            "training.weight_decay=0",
            "training.optimizer=adam",
            "training.schedule=power",
            "training.held_out_fraction=0.3",
            "training.selection=best_held_out",
            "training.threads=2",
            "research.author_compat=true",
        ],
    )
    def test_changes_with_what_decides_the_weights(self, tiny_config, override: str) -> None:
        assert training_key("cache", tiny_config(override)) != training_key("cache", tiny_config())

    def test_changes_with_the_cache(self, tiny_config) -> None:
        assert training_key("other", tiny_config()) != training_key("cache", tiny_config())

    @pytest.mark.parametrize("module", ["TRAINING_CODE", "torch.__version__"])
    def test_changes_with_the_code(
        self, tiny_config, monkeypatch: pytest.MonkeyPatch, module: str
    ) -> None:
        before = training_key("cache", tiny_config())
        monkeypatch.setattr(f"gtrans_core.training.key.{module}", "0.0.0")
        assert training_key("cache", tiny_config()) != before

    @pytest.mark.parametrize(
        "override",
        [
            "training.checkpoint_every=7",
            "scoring.image_score=max",
            "evaluation.false_alarm_rate=0.2",
        ],
    )
    def test_does_not_change_with_what_does_not(self, tiny_config, override: str) -> None:
        assert training_key("cache", tiny_config(override)) == training_key("cache", tiny_config())

    def test_is_the_one_of_before_knobs_moved_to_research(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gtrans_core.training.key.torch.__version__", "2.0")
        earlier = {
            "trans": {"guidance": "student", "layer_norm": False, "passes": 1},
            "training": {"author_compat": True, "threads": 1, "device": "cpu"},
        }
        digest = "02ecbc24482eab27dc47cbb1ae66a944a66591ac061d44796d71c84c08b56b42"
        assert training_key("cache", GTransConfig.from_json(json.dumps(earlier))) == digest


class TestLength:
    @pytest.mark.parametrize(
        ("knobs", "steps"),
        [
            ({}, STEPS["standard"]),
            ({"effort": "best"}, STEPS["best"]),
            ({"effort": "best", "steps": 7}, 7),
            ({"epochs": 3}, 30),
            ({"effort": "best", "epochs": 3}, 30),
        ],
    )
    def test_is_by_epochs_or_steps_or_effort(self, knobs: dict[str, Any], steps: int) -> None:
        assert TrainingConfig(**knobs).total_steps(steps_per_epoch=10) == steps

    def test_cannot_be_both_steps_and_epochs(self) -> None:
        with pytest.raises(ValidationError, match="steps and epochs are both set"):
            TrainingConfig(steps=1, epochs=1)

    def test_held_out_images_are_looked_at_after_whole_epochs(self) -> None:
        """Of few images an epoch is a step or two, and a look costs as much."""
        assert TrainingConfig().steps_between_looks(steps_per_epoch=3) == 42
        assert TrainingConfig().steps_between_looks(steps_per_epoch=100) == 100
        assert TrainingConfig(epochs=2).steps_between_looks(steps_per_epoch=3) == 3

    def test_an_effort_is_the_steps_that_it_stands_for(self) -> None:
        default, best, steps = (
            training_key("cache", GTransConfig(training=TrainingConfig(**knobs)))
            for knobs in ({}, {"effort": "best"}, {"steps": STEPS["best"]})
        )
        assert best == steps
        assert best != default
