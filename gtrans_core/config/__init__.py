"""One typed config: every knob with its unit, its default and a line of what it does.

Read from TOML, changed with ``key=value`` overrides, passed between steps as canonical JSON.
Where a run keeps its files and its records is not here but in a profile (``pipelines/profiles``).
"""

from gtrans_core.config.canonical import canonical_json, digest_of, flatten
from gtrans_core.config.earlier import SAME_AS_AGN, current_key, earlier_layout
from gtrans_core.config.image import (
    MOST_MEGAPIXELS,
    MOST_SIDE,
    USUAL_SIDE,
    ImageConfig,
    whole_shape,
)
from gtrans_core.config.reading import load_config
from gtrans_core.config.run_parameters import FROM_CONFIG, with_run_parameters
from gtrans_core.config.section import Section
from gtrans_core.config.sections import (
    LEAST_SCENE_IMAGES,
    AgnConfig,
    EvaluationConfig,
    GTransConfig,
    MemoryConfig,
    ResearchConfig,
    SceneConfig,
    ScoringConfig,
    StoredConfig,
    TransConfig,
)
from gtrans_core.config.training import TrainingConfig

__all__ = [
    "FROM_CONFIG",
    "LEAST_SCENE_IMAGES",
    "MOST_MEGAPIXELS",
    "MOST_SIDE",
    "SAME_AS_AGN",
    "USUAL_SIDE",
    "AgnConfig",
    "EvaluationConfig",
    "GTransConfig",
    "ImageConfig",
    "MemoryConfig",
    "ResearchConfig",
    "SceneConfig",
    "ScoringConfig",
    "Section",
    "StoredConfig",
    "TrainingConfig",
    "TransConfig",
    "canonical_json",
    "current_key",
    "digest_of",
    "earlier_layout",
    "flatten",
    "load_config",
    "whole_shape",
    "with_run_parameters",
]
