"""What scores without Trans: the scene model and the patch memory, fitted as in a run."""

from __future__ import annotations

from collections.abc import Sequence

from gtrans_core.config import GTransConfig
from gtrans_core.features.cache import CachedFeatures
from gtrans_core.features.weights import Guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.scorer import Scorer
from gtrans_core.training.closed_form import fit_closed_form


def closed_form_scorer(
    guide: Guide,
    features: CachedFeatures,
    positions: Sequence[int],
    config: GTransConfig,
    in_other_light: Sequence[CachedFeatures] = (),
) -> Scorer:
    """Fitted to some good images, and to their copies in other light.

    Its Trans is untrained: ``scoring.scene_share`` must be 1.
    """
    scene, memory = fit_closed_form(features, positions, config, in_other_light)
    return Scorer(guide.agn, build_trans(guide.agn.spec, config), scene, config, memory)
