"""Pipelines as files: the same DAG, equipped for each profile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gtrans.pipelines.profiles import Profile, known_profiles, load_profile
from gtrans_core.storage.scratch import scratch_folder

COMPILED = Path(__file__).parents[1] / "compiled"
"""The committed output, a folder for each profile; a test fails when it is stale."""
COMPILED_CATEGORY = COMPILED / "local" / "category.yaml"
COMPILED_CATEGORIES = COMPILED / "local" / "categories.yaml"
PIPELINES = ("category", "categories", "drift")


def compile_all(folder: Path) -> list[Path]:
    """Write the intermediate representation of every pipeline for every profile that we ship.

    Returns:
        The files, ``PROFILE/PIPELINE.yaml``.

    Raises:
        OSError: when ``folder`` cannot be written.
    """
    paths = []
    for profile_name in known_profiles():
        profile = load_profile(profile_name)
        (folder / profile_name).mkdir(parents=True, exist_ok=True)
        for name in PIPELINES:
            path = folder / profile_name / f"{name}.yaml"
            path.write_text(compiled(name, profile), encoding="ascii")
            paths.append(path)
    return paths


def compiled(name: str, profile: Profile) -> str:
    """The YAML of one of :data:`PIPELINES`; equal sources and profiles give equal bytes."""
    from kfp import compiler

    with scratch_folder() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(_pipeline(name, profile), str(path))
        return path.read_text(encoding="ascii")


def _pipeline(name: str, profile: Profile) -> Callable[..., Any]:
    from gtrans.pipelines.graphs.categories import categories_pipeline
    from gtrans.pipelines.graphs.category import category_pipeline
    from gtrans.pipelines.graphs.drift import drift_pipeline

    match name:
        case "category":
            return category_pipeline(profile.cluster)
        case "categories":
            return categories_pipeline(profile.at_once, profile.cluster)
        case _:
            return drift_pipeline(profile.cluster)
