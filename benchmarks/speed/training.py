"""The training loop beside its own network on random tensors.

A part of ``make bench-speed``, on one CPU thread. ``make bench-training`` takes any config, and
a GPU where there is one, with images and maps resident there, as in a real training. Also what the
loop would do without the feature cache (the AGN runs in each step), and how many images a second
the network scores. Only rates: the images are noise, the AGN's weights are random.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import torch
import typer
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.features.cache import CachedFeatures
from gtrans_core.network.agn import Agn
from gtrans_core.network.backbone import build_backbone
from gtrans_core.network.build import build_trans
from gtrans_core.network.loss import guidance_loss
from gtrans_core.network.scorer import Scorer
from gtrans_core.storage import write_atomic
from gtrans_core.system.shortcuts import keep_freed_memory
from gtrans_core.training.device import choose_device, choose_precision, thread_count
from gtrans_core.training.loop import make_optimizer, train_trans

RESULTS = Path("benchmarks/results/training_speed.json")
IMAGES = 200
"""As many good images as a small category has; a fifth of them is held out."""
BOTTLE, MVTEC, EPOCHS = 209, 3629, 200
SCORING_BATCHES = (1, 64)
MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}
_CPU = torch.device("cpu")


def main(
    config: Annotated[Path | None, typer.Option(help="TOML file or preset.")] = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="key=value.")] = None,
    rounds: Annotated[int, typer.Option(help="Times that each loop runs for an epoch.")] = 3,
    results: Annotated[Path, typer.Option(help="Where the JSON goes.")] = RESULTS,
) -> None:
    """Images a second of one training: its loop, its bare network, and without the cache."""
    found = json.dumps(measure_loops(load_config(config, change or []), rounds), indent=1)
    write_atomic(results, found.encode())
    typer.echo(found)


def measure(store: Path) -> dict[str, Any]:
    """The default training on one CPU thread (nothing is kept in ``store``)."""
    del store
    return measure_loops(load_config(overrides=["training.device=cpu", "training.threads=1"]), 2)


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    rates = found["images_per_second"]
    return "\n".join(
        [
            "| one thread | images a second | to the bare network |",
            "|---|---|---|",
            f"| bare network on random tensors | {rates['bare']:.1f} | 1 |",
            f"| the training loop | {rates['loop']:.1f} | {found['loop_to_bare']:.2f} |",
            "| bare network without the cache (AGN in each step) | "
            f"{rates['without_cache']:.1f} | {rates['without_cache'] / rates['bare']:.2f} |",
        ]
    )


def measure_loops(config: GTransConfig, rounds: int, images: int = IMAGES) -> dict[str, Any]:
    """Rates of the loops, side by side in each round, and of scoring.

    Args:
        config: what to train.
        rounds: how often each loop runs for an epoch; medians count.
        images: good images, a fifth of them held out.
    """
    device = choose_device(config.training)
    torch.set_num_threads(thread_count(config.training))
    keep_freed_memory()
    bench = _Bench(config, device, images)
    found = [
        {"loop": bench.loop(), "bare": bench.bare(), "without_cache": bench.bare(cached=False)}
        for _ in range(rounds)
    ]
    rates = {name: median(rates[name] for rates in found) for name in found[0]}
    flops, peak = bench.flops_an_image(), matrix_rate(device, bench.precision)
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "clock": "wall time" if device.type == "cuda" else "CPU time of all threads",
        "backbone": config.agn.backbone,
        "precision": str(bench.precision),
        "images_per_second": {name: round(rate, 2) for name, rate in rates.items()},
        "loop_to_bare": round(median(r["loop"] / r["bare"] for r in found), 3),
        "loop_to_without_cache": round(median(r["loop"] / r["without_cache"] for r in found), 3),
        "gflop_an_image": round(flops / 1e9, 2),
        "matrix_gflop_per_second": round(peak / 1e9),
        "share_of_matrix_rate": round(rates["loop"] * flops / peak, 3),
        "seconds_for_bottle_200_epochs": round(BOTTLE * EPOCHS / rates["loop"]),
        "seconds_for_mvtec_200_epochs": round(MVTEC * EPOCHS / rates["loop"]),
        "scored_per_second": {
            str(batch): round(bench.scoring(batch), 2) for batch in SCORING_BATCHES
        },
    }


class _Bench:
    """One network on its device, random images, and the ways to use them. Rates are images/s."""

    def __init__(self, config: GTransConfig, device: torch.device, images: int) -> None:
        self.config, self.device = config, device
        self.precision = choose_precision(config.training, device)
        backbone, self.spec = build_backbone(config.agn.backbone, config.agn.taps)
        self.agn = Agn(backbone, self.spec).to(device)
        self.features = self._random_features(images)
        self.batch = config.training.batch_size
        self.views = self.features.views[: self.batch].to(device)
        self.maps = [m[: self.batch].float().to(device) for m in self.features.maps]

    def loop(self) -> float:
        """An epoch of the real training, its validation and last checkpoint included.

        It is the second epoch: the first one warms up.
        """
        changed = {"epochs": 2, "held_out_fraction": 0.2, "checkpoint_every": 1}
        training = self.config.training.model_copy(update=changed)
        times = []
        with tempfile.TemporaryDirectory() as folder:
            result = train_trans(
                self.features,
                self.spec,
                self.config.model_copy(update={"training": training}),
                Path(folder),
                on_progress=lambda *_: times.append(self._now()),
                say=lambda _: None,
                stop_requested=lambda: False,
            )
        steps = result.steps // 2
        # A step's time is taken before its checkpoint: the first epoch's stands for the last one's.
        return steps * self.batch / (times[-1] - times[steps - 1])

    def bare(self, *, cached: bool = True) -> float:
        """Forward, backward and optimiser of the same network on one resident batch."""
        trans = build_trans(self.spec, self.config).to(self.device)
        model: Any = torch.compile(trans) if self.config.training.compile else trans
        optimizer = make_optimizer(trans, self.config.training)
        inputs = self.spec.normalise(self.views)

        def step() -> None:
            maps = self.maps if cached else self.agn(inputs)
            optimizer.zero_grad(set_to_none=True)
            self._loss(model, inputs, maps).backward()
            optimizer.step()

        steps = max(2, len(self.features.digests) * 4 // 5 // self.batch)
        return steps * self.batch / self._seconds(step, steps)

    @torch.no_grad()
    def flops_an_image(self) -> float:
        """Floating-point operations of a training step, an image: three times the forward's.

        Backward is two products for each of the forward's; torch's own counter takes depthwise
        convolutions for dense ones there.
        """
        trans = build_trans(self.spec, self.config)
        inputs = self.spec.normalise(self.views[:1].to(_CPU))
        with FlopCounterMode(display=False) as counter:
            trans(inputs, [m[:1].to(_CPU) for m in self.maps])
        return 3.0 * float(counter.get_total_flops())

    @torch.inference_mode()
    def scoring(self, batch: int) -> float:
        """AGN, Trans and maps of a batch; what is fitted to images is not in."""
        trans = build_trans(self.spec, self.config).to(self.device)
        scoring = self.config.scoring.model_copy(update={"scene_share": 0.0, "memory_share": 0.0})
        alone = self.config.model_copy(update={"scoring": scoring})
        scorer = Scorer(self.agn, trans, None, alone).to(self.device)
        shape = self.config.image.view_shape
        views = torch.zeros(batch, 3, *shape, dtype=torch.uint8, device=self.device)
        return batch * 4 / self._seconds(lambda: scorer(views), 4)

    def _loss(self, model: Any, inputs: Tensor, maps: list[Tensor]) -> Any:
        enabled = self.precision != torch.float32
        with torch.autocast(self.device.type, self.precision, enabled=enabled):
            predicted = model(inputs, maps)
        return guidance_loss(maps, [map_BCHW.float() for map_BCHW in predicted])

    def _random_features(self, images: int) -> CachedFeatures:
        generator = torch.Generator().manual_seed(0)
        shape = self.config.image.view_shape
        views = torch.randint(0, 256, (images, 3, *shape), dtype=torch.uint8, generator=generator)
        first, second, third = (
            torch.rand(images, *of_map, generator=generator).half()
            for of_map in self.spec.map_shapes(shape)
        )
        names = tuple(f"{i:064x}" for i in range(images))
        return CachedFeatures(names, views, (first, second, third))

    def _seconds(self, call: Callable[[], object], times: int) -> float:
        """Of several calls, after two that warm up."""
        call(), call()
        started = self._now()
        for _ in range(times):
            call()
        return self._now() - started

    def _now(self) -> float:
        return now(self.device)


def now(device: torch.device) -> float:
    """Seconds: of this process' CPU time, or of the wall once a GPU has done all it was told."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def matrix_rate(device: torch.device, precision: torch.dtype) -> float:
    """Operations a second of a large matrix product, the machine's practical ceiling."""
    side = MATRIX_SIDE[device.type]
    matrix = torch.rand(side, side, device=device, dtype=precision)
    times = []
    for _ in range(12):
        started = now(device)
        matrix @ matrix
        times.append(now(device) - started)
    return 2 * side**3 / median(times[2:])


if __name__ == "__main__":
    typer.run(main)
