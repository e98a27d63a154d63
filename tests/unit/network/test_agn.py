"""The AGN stays what it was, whatever happens around it."""

import pytest
import torch

from gtrans_core.config import GTransConfig, ScoringConfig
from gtrans_core.network.agn import Agn, state_sha256
from gtrans_core.network.backbone import build_backbone
from gtrans_core.network.build import build_trans
from gtrans_core.network.loss import guidance_loss
from gtrans_core.network.scene import fit_scene
from gtrans_core.network.scorer import Scorer


@pytest.fixture
def agn() -> Agn:
    torch.manual_seed(0)
    return Agn(*build_backbone("resnet18", (4, 8, 16)))


def test_agn_does_not_move_when_it_is_trained_through(agn: Agn):
    """One train() call and an optimiser over everything: parameters and buffers stay (trap 2)."""
    before = state_sha256(agn.state_dict())
    trans = build_trans(agn.spec, GTransConfig())
    both = torch.nn.ModuleList([agn, trans]).train()
    optimizer = torch.optim.AdamW(both.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        views = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
        inputs = agn.spec.normalise(views)
        maps = agn(inputs)
        guidance_loss(maps, trans(inputs, maps)).backward()
        optimizer.step()
    assert state_sha256(agn.state_dict()) == before
    assert not any(m.training for m in agn.modules())
    assert all(p.grad is None for p in agn.parameters())


def test_the_student_does_move_in_training_its_statistics_too(agn: Agn):
    trans = build_trans(agn.spec, GTransConfig()).train()
    before = trans.student.backbone.bn1.running_mean.clone()
    trans(torch.rand(4, 3, 64, 64), [m.detach() for m in agn(torch.rand(4, 3, 64, 64))])
    assert not torch.equal(trans.student.backbone.bn1.running_mean, before)


def test_state_sha256_sees_every_byte_name_and_shape(agn: Agn):
    state = {"a": torch.zeros(2, 3), "b": torch.ones(2)}
    base = state_sha256(state)
    assert state_sha256(dict(reversed(state.items()))) == base
    assert state_sha256({**state, "a": torch.zeros(3, 2)}) != base
    assert state_sha256({"a": state["a"], "c": state["b"]}) != base
    flipped = state["b"].clone()
    flipped[1] = 1.0000001
    assert state_sha256({**state, "b": flipped}) != base


def test_scorer_gives_one_image_exactly_one_score(agn: Agn):
    scene = fit_scene([torch.rand(6, *shape) for shape in agn.spec.map_shapes((64, 64))], rank=4)
    config = GTransConfig(scoring=ScoringConfig(memory_share=0))
    scorer = Scorer(agn, build_trans(agn.spec, config), scene, config)
    views = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8).numpy()
    first = [scorer.score_view(view)[1] for view in views]
    again = [scorer.score_view(view)[1] for view in views[::-1]][::-1]
    assert first == again
    maps, scores = scorer(torch.from_numpy(views))
    assert maps.shape == (3, 64, 64)
    assert scores.tolist() == pytest.approx(first, rel=1e-3)


def test_views_are_normalised_as_the_backbone_was_trained(agn: Agn):
    views = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    normalised = agn.spec.normalise(views)
    for channel, value in enumerate((0, 128, 255)):
        expected = (value / 255 - agn.spec.mean[channel]) / agn.spec.std[channel]
        assert float(normalised[0, channel, 0, 0]) == pytest.approx(expected, rel=1e-6)
