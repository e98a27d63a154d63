"""Train one GTrans network and score the test split in several ways."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from benchmarks.accuracy.measure import Row, measured
from benchmarks.accuracy.splits import Category
from gtrans_core.config import GTransConfig
from gtrans_core.features.weights import Guide, load_guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.memory import memory_maps
from gtrans_core.network.score import heat_map, image_map, image_score, usual_map
from gtrans_core.network.scorer import Scorer
from gtrans_core.network.trans import Trans
from gtrans_core.training.checkpoint import newest_checkpoint
from gtrans_core.training.closed_form import fit_closed_form
from gtrans_core.training.device import thread_count
from gtrans_core.training.key import training_key
from gtrans_core.training.light import chosen_copies, copies_wanted
from gtrans_core.training.loop import train_trans
from gtrans_core.training.scene_share import with_scene_share
from gtrans_core.training.split import split_images

LAST = "last epoch"
BEST = "best held-out epoch"


def run_gtrans(
    category: Category,
    config: GTransConfig,
    scorings: Mapping[str, GTransConfig],
    store: Path,
    *,
    best_epoch: str = "",
) -> list[Row]:
    """Rows of one training: one for each way to score, named by ``scorings``.

    Args:
        category: where to learn and to be judged.
        config: the network and its training; its own way to score is not used.
        scorings: method name -> a config whose ``scoring`` and ``research`` score the last epoch's
            network.
        store: feature caches and checkpoints.
        best_epoch: when given, a row of this name scores the epoch with the lowest loss on
            held-out good images in the first way.
    """
    config = config.model_copy(
        update={"training": config.training.model_copy(update={"selection": "best_held_out"})}
    )
    # Training sets them for the whole process: the first category would else be read with others.
    torch.set_num_threads(thread_count(config.training))
    guide = load_guide(config.agn, store / "weights")
    features, cache_key = category.features(store / "cache", guide, config)
    split = split_images(features.digests, config)
    folder = (
        store
        / "training"
        / training_key(cache_key, config, None if split.is_usual(config) else split)
    )
    started = time.process_time()
    result = train_trans(
        features,
        guide.agn.spec,
        config,
        folder,
        on_progress=lambda *_: None,
        say=print,
        stop_requested=lambda: False,
    )
    training_seconds = time.process_time() - started
    copies = [
        category.features(store / "cache", guide, config, factor)[0]
        for factor in copies_wanted(config)
    ]
    learnt = chosen_copies(features, copies, split.fitted, config)
    started = time.process_time()
    scene, memory = fit_closed_form(features, split.fitted, config, learnt)
    facts = {
        "in_other_light": bool(learnt),
        "train_cpu_seconds": round(training_seconds, 1) if result.resumed_at is None else None,
        "closed_form_cpu_seconds": round(time.process_time() - started, 2),
        "steps": result.steps,
        "trained_on": len(split.training),
    }
    networks = {LAST: _last_epoch(guide, config, folder), BEST: result.trans}
    rows = []
    for name, trans in networks.items():
        wanted = scorings if name == LAST else {best_epoch: next(iter(scorings.values()))}
        if "" not in wanted:
            scorer = Scorer(guide.agn, trans, scene, GTransConfig(), memory)
            good = split.new_to_trans
            settled = {
                name: with_scene_share(way, trans, features, good) for name, way in wanted.items()
            }
            rows += _rows(category, config, scorer, settled, facts)
    return rows


def _last_epoch(guide: Guide, config: GTransConfig, folder: Path) -> Trans:
    """The state after the last step, which the newest checkpoint holds beside the best one."""
    checkpoint = newest_checkpoint(folder, print)
    assert checkpoint is not None  # noqa: S101 - train_trans has just written it
    trans = build_trans(guide.agn.spec, config)
    prefix = "trans."
    trans.load_state_dict(
        {k.removeprefix(prefix): v for k, v in checkpoint.tensors.items() if k.startswith(prefix)}
    )
    return trans.eval()


@torch.inference_mode()
def _rows(
    category: Category,
    config: GTransConfig,
    scorer: Scorer,
    scorings: Mapping[str, GTransConfig],
    facts: Mapping[str, object],
) -> list[Row]:
    views = category.test_views(config)
    masks = category.test_masks(config)
    size = category.shape(config)
    maps = {name: np.empty((len(views), *size), np.float32) for name in scorings}
    scores = {name: np.empty(len(views)) for name in scorings}
    assert scorer.scene is not None  # noqa: S101 - given above
    assert scorer.memory is not None  # noqa: S101 - given above
    usual = {k: usual_map(scorer.scene.usual_maps(), size, s) for k, s in scorings.items()}
    for i, view in enumerate(views):
        inputs = scorer.agn.spec.normalise(torch.from_numpy(view)[None])
        agn_maps = scorer.agn(inputs)
        memory_map = scorer.memory(memory_maps(agn_maps, scorer.agn.spec.strides))
        trans_maps, scene_maps = scorer.trans(inputs, agn_maps), scorer.scene(agn_maps)
        network_maps = agn_maps, trans_maps, scene_maps, memory_map
        for name, way in scorings.items():
            map_1HW = heat_map(*network_maps, size, way)
            maps[name][i] = map_1HW[0]
            scored_1HW = image_map(map_1HW, *network_maps, way)
            scores[name][i] = image_score(scored_1HW, usual[name], way.scoring)[0]
    return [
        Row(
            method=name,
            category=category.name,
            seed=config.seed,
            metrics=measured(category.labels, masks, maps[name], scores[name]),
            facts=dict(facts),
        )
        for name in scorings
    ]
