"""Training: resumable at any step, bit for bit; a pure function of cache, config and seed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import pytest
import torch

import gtrans_core.training.loop
from gtrans_core.config import GTransConfig
from gtrans_core.errors import PreemptedError, StorageError, TrainingError
from gtrans_core.features.cache import CachedFeatures, load_cache
from gtrans_core.network.agn import state_sha256
from gtrans_core.network.build import build_trans
from gtrans_core.network.loss import guidance_loss
from gtrans_core.training.checkpoint import newest_checkpoint
from gtrans_core.training.learning_rate import learning_rate
from gtrans_core.training.loop import TrainingResult, train_trans
from gtrans_core.training.split import hold_out

Train = Callable[..., TrainingResult]


@pytest.fixture(scope="module")
def features(tiny_cache) -> CachedFeatures:
    return load_cache(tiny_cache.folder)


@pytest.fixture
def train(tiny_cache, features: CachedFeatures, tmp_path: Path) -> Train:
    """``train(config, name, stop_after=n)``: train in the folder ``name``, n steps at most."""

    def run(
        config: GTransConfig,
        name: str = "training",
        *,
        stop_after: int | None = None,
        on: CachedFeatures = features,
        say: Callable[[str], None] = lambda line: None,
        on_progress: Callable[[int, int, str], None] = lambda done, total, note: None,
    ) -> TrainingResult:
        asked = itertools.count(1)
        return train_trans(
            on,
            tiny_cache.spec,
            config,
            tmp_path / name,
            on_progress=on_progress,
            say=say,
            stop_requested=lambda: next(asked) == stop_after,
        )

    return run


def weights(result: TrainingResult) -> str:
    """sha256 over all parameters and buffers."""
    return state_sha256(result.trans.state_dict())


def journal(result: TrainingResult) -> list[tuple[int, dict[str, float]]]:
    return [(record["step"], record["values"]) for record in result.history]


class TestDeterminism:
    def test_same_seed_same_bits(self, train: Train, tiny_config) -> None:
        first, second = train(tiny_config(), "first"), train(tiny_config(), "second")
        assert weights(first) == weights(second)
        assert journal(first) == journal(second)

    def test_does_not_depend_on_the_state_of_torchs_generator(
        self, train: Train, tiny_config
    ) -> None:
        first = train(tiny_config(), "first")
        torch.manual_seed(12345)
        assert weights(train(tiny_config(), "second")) == weights(first)

    def test_other_seed_other_weights_other_split(self, train: Train, tiny_config) -> None:
        first, second = train(tiny_config(), "first"), train(tiny_config("seed=1"), "second")
        assert weights(first) != weights(second)

    @pytest.mark.parametrize(
        "override",
        [
            "seed=0",
            "training.selection=best_held_out",
            "training.optimizer=adam",
            "seed=7",
            "research.author_compat=true",
        ],
    )
    def test_interrupted_at_any_step_and_resumed(
        self, train: Train, tiny_config, override: str
    ) -> None:
        """Bit-equal weights, and the journal has every step once."""
        config = tiny_config(override)
        whole = train(config, "whole")
        assert [step for step, _ in journal(whole)] == list(range(1, 9))
        for step in range(1, 8):
            with pytest.raises(PreemptedError, match=f"step {step} of 8; state is saved"):
                train(config, f"stopped-{step}", stop_after=step)
            said: list[str] = []
            resumed = train(config, f"stopped-{step}", say=said.append)
            assert resumed.resumed_at == step
            assert said == [f"going on from the checkpoint at step {step} of 8"]
            assert weights(resumed) == weights(whole)
            assert journal(resumed) == journal(whole)

    def test_interrupted_after_every_step(self, train: Train, tiny_config) -> None:
        whole = train(tiny_config(), "whole")
        for _ in range(7):
            with pytest.raises(PreemptedError):
                train(tiny_config(), "bits", stop_after=1)
        last = train(tiny_config(), "bits", stop_after=1)
        assert weights(last) == weights(whole)
        assert journal(last) == journal(whole)

    def test_one_generation_back_when_the_newest_checkpoint_is_damaged(
        self, train: Train, tiny_config, tmp_path: Path
    ) -> None:
        whole = train(tiny_config(), "whole")
        with pytest.raises(PreemptedError):
            train(tiny_config(), "hurt", stop_after=5)
        newest = max((tmp_path / "hurt").glob("checkpoint-*"))
        newest.write_bytes(newest.read_bytes()[:-1])
        said: list[str] = []
        resumed = train(tiny_config(), "hurt", say=said.append)
        assert resumed.resumed_at == 4
        assert newest.name in said[0]
        assert weights(resumed) == weights(whole)
        assert journal(resumed) == journal(whole)

    def test_anew_when_no_checkpoint_is_intact(
        self, train: Train, tiny_config, tmp_path: Path
    ) -> None:
        whole = train(tiny_config(), "whole")
        with pytest.raises(PreemptedError):
            train(tiny_config(), "hurt", stop_after=5)
        for path in (tmp_path / "hurt").glob("checkpoint-*"):
            path.write_bytes(b"")
        said: list[str] = []
        resumed = train(tiny_config(), "hurt", say=said.append)
        assert resumed.resumed_at is None
        assert said[-1] == "no intact checkpoint: training starts over"
        assert weights(resumed) == weights(whole)
        assert journal(resumed) == journal(whole)


class TestLoop:
    def test_loss_falls_and_is_finite(self, train: Train, tiny_config) -> None:
        result = train(tiny_config("training.epochs=30", "training.learning_rate=5e-3"))
        losses = [values["train_loss"] for _, values in journal(result)]
        assert all(math.isfinite(loss) for loss in losses)
        assert sum(losses[-5:]) < 0.6 * sum(losses[:5])

    def test_what_is_journalled(self, train: Train, tiny_config) -> None:
        """Each step its loss and rate; the end of each epoch the loss on held-out good images."""
        names = [set(values) for _, values in journal(train(tiny_config()))]
        step = {"train_loss", "learning_rate"}
        assert names == [step, step | {"held_out_loss"}] * 4

    def test_held_out_loss_is_that_of_the_returned_weights(
        self, train: Train, tiny_config, tiny_cache, features: CachedFeatures
    ) -> None:
        result = train(tiny_config())
        _, held_out = hold_out(features.digests, 0.2, 0)
        assert len(held_out) == 2
        some = features.subset(held_out)
        maps = [m.float() for m in some.maps]
        assert not any(module.training for module in result.trans.modules())
        with torch.no_grad():
            loss = guidance_loss(maps, result.trans(tiny_cache.spec.normalise(some.views), maps))
        assert float(loss) == pytest.approx(result.history[-1]["values"]["held_out_loss"], abs=1e-6)

    def test_held_out_images_do_not_touch_the_weights(
        self, train: Train, tiny_config, features: CachedFeatures
    ) -> None:
        """Other pixels and features for them: other losses, the same weights, to the last bit."""
        _, held_out = hold_out(features.digests, 0.2, 0)
        views, maps = features.views.clone(), tuple(m.clone() for m in features.maps)
        for tensor in (views, *maps):
            tensor[held_out] = tensor[held_out].flip(-1)
        first = train(tiny_config(), "first")
        second = train(tiny_config(), "second", on=replace(features, views=views, maps=maps))
        assert weights(first) == weights(second)
        assert journal(first) != journal(second)

    def test_every_image_is_trained_on(
        self, train: Train, tiny_config, features: CachedFeatures
    ) -> None:
        """Nine images, two batches of four an epoch: the one left out changes with the epoch."""
        training, _ = hold_out(features.digests, 0.2, 0)
        config = tiny_config("training.epochs=10")
        reference = weights(train(config, "reference"))
        for number in training:
            views = features.views.clone()
            views[number] = 255 - views[number]
            changed = replace(features, views=views)
            assert weights(train(config, f"without-{number}", on=changed)) != reference

    def test_the_student_is_in_train_mode_in_every_epoch(
        self, train: Train, tiny_config, tiny_cache
    ) -> None:
        """Its BatchNorm has seen every batch; the authors' code stops after the first epoch."""
        result = train(tiny_config())
        counts = {
            int(buffer)
            for name, buffer in result.trans.named_buffers()
            if name.endswith("num_batches_tracked")
        }
        assert counts == {result.steps} == {8}

    def test_starts_from_the_seeds_weights(self, train: Train, tiny_config, tiny_cache) -> None:
        config = tiny_config("training.learning_rate=1e-12", "training.weight_decay=0")
        result = train(config)
        start = build_trans(tiny_cache.spec, config)
        for name, weight in result.trans.named_parameters():
            torch.testing.assert_close(weight, start.get_parameter(name), atol=1e-9, rtol=0)

    def test_the_learning_rate_of_each_step_is_journalled(self, train: Train, tiny_config) -> None:
        config = tiny_config()
        result = train(config)
        used = [values["learning_rate"] for _, values in journal(result)]
        assert used == [learning_rate(step, 8, 2, config.training) for step in range(8)]

    def test_progress_after_each_step(self, train: Train, tiny_config) -> None:
        seen: list[tuple[int, int, str]] = []
        train(tiny_config(), on_progress=lambda *now: seen.append(now))
        assert [(done, total) for done, total, _ in seen] == [(n, 8) for n in range(1, 9)]
        assert [note for *_, note in seen[::2]] == [f"epoch {n} of 4" for n in range(1, 5)]

    def test_a_batch_larger_than_the_set_takes_all_of_it(self, train: Train, tiny_config) -> None:
        assert train(tiny_config("training.batch_size=64")).steps == 4

    @pytest.mark.parametrize("every", [1, 3, 100])
    def test_checkpoints_every_few_epochs_and_at_the_end(
        self, train: Train, tiny_config, monkeypatch: pytest.MonkeyPatch, every: int
    ) -> None:
        saved: list[int] = []
        save = gtrans_core.training.loop.save_checkpoint

        def note(folder, checkpoint):
            saved.append(checkpoint.step)
            return save(folder, checkpoint)

        monkeypatch.setattr(gtrans_core.training.loop, "save_checkpoint", note)
        train(tiny_config(f"training.checkpoint_every={every}"))
        assert saved == {1: [2, 4, 6, 8], 3: [6, 8], 100: [8]}[every]

    def test_finished_training_is_reused(
        self, train: Train, tiny_config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = train(tiny_config())
        assert not first.reused
        monkeypatch.setattr(gtrans_core.training.loop._Loop, "advance", pytest.fail)
        second = train(tiny_config())
        assert second.reused
        assert weights(second) == weights(first)
        assert second.history == first.history

    def test_a_stop_after_the_last_step_is_a_finished_training(
        self, train: Train, tiny_config
    ) -> None:
        assert train(tiny_config(), stop_after=8).steps == 8


class TestSelection:
    def test_best_held_out_keeps_the_lowest(
        self, train: Train, tiny_config, tmp_path: Path
    ) -> None:
        """A rate so high that the last epoch is not the best one."""
        rate = ("training.epochs=8", "training.learning_rate=0.3", "training.schedule=power")
        rate += ("trans.backbone=agn", "evaluation.false_alarm_rate=0.5")  # one of each is enough
        result = train(tiny_config(*rate, "training.selection=best_held_out"))
        losses = {
            step: values["held_out_loss"]
            for step, values in journal(result)
            if "held_out_loss" in values
        }
        best = min(losses, key=losses.__getitem__)
        assert best != max(losses)
        stopped = tiny_config(*rate)
        with pytest.raises(PreemptedError):
            train(stopped, "until-best", stop_after=best)
        checkpoint = newest_checkpoint(tmp_path / "until-best", pytest.fail)
        assert checkpoint is not None
        for name, tensor in result.trans.state_dict().items():
            assert torch.equal(tensor, checkpoint.tensors[f"trans.{name}"])
        assert weights(train(tiny_config(*rate), "last")) != weights(result)

    def test_the_best_survives_an_interruption(self, train: Train, tiny_config) -> None:
        """Stopped at each step, also long after the best epoch."""
        config = tiny_config(
            "training.epochs=8",
            "training.learning_rate=0.3",
            "training.schedule=power",
            "training.selection=best_held_out",
        )
        whole = train(config, "whole")
        for _ in range(whole.steps - 1):
            with pytest.raises(PreemptedError):
                train(config, "bits", stop_after=1)
        assert weights(train(config, "bits")) == weights(whole)


class TestFailure:
    def test_a_loss_that_is_not_finite_ends_training(
        self, train: Train, tiny_config, features: CachedFeatures, tmp_path: Path
    ) -> None:
        """And leaves no checkpoint with it: only what was sound is gone on from."""
        maps = tuple(torch.full_like(m, float("nan")) for m in features.maps)
        poisoned = replace(features, maps=maps)
        with pytest.raises(TrainingError, match="not finite at step 1; lower") as caught:
            train(tiny_config(), on=poisoned)
        assert "\n" not in str(caught.value)
        assert list((tmp_path / "training").glob("checkpoint-*")) == []

    def test_unwritable_folder_is_one_line(self, train: Train, tiny_config, tmp_path: Path) -> None:
        (tmp_path / "training").write_bytes(b"")
        with pytest.raises(StorageError, match="cannot be written"):
            train(tiny_config())


class TestPrecision:
    def test_bf16_computes_in_bf16_and_keeps_fp32_weights(self, train: Train, tiny_config) -> None:
        full = train(tiny_config(), "full")
        half = train(tiny_config("training.precision=bf16"), "half")
        assert {tensor.dtype for tensor in half.trans.parameters()} == {torch.float32}
        assert weights(half) != weights(full)
        losses = [journal(result)[-1][1]["train_loss"] for result in (full, half)]
        assert losses[1] == pytest.approx(losses[0], rel=0.05)

    def test_a_compiled_student_learns_the_same(
        self, train: Train, tiny_config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The default backend compiles C++ for minutes; what is traced is the same.
        quickly = partialmethod(torch.nn.Module.compile, backend="eager")
        monkeypatch.setattr(torch.nn.Module, "compile", quickly)
        plain = train(tiny_config(), "plain")
        compiled = train(tiny_config("training.compile=true"), "compiled")
        assert compiled.trans.state_dict().keys() == plain.trans.state_dict().keys()
        losses = [journal(result)[-1][1]["train_loss"] for result in (plain, compiled)]
        assert losses[1] == pytest.approx(losses[0], rel=0.01)
