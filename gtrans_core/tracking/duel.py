"""The versions of a category: how each stands, and the challenger beside the champion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.model_name import CHALLENGER, CHAMPION, model_name
from gtrans_core.evaluation.contest import Contest, contest
from gtrans_core.evaluation.image_table import IMAGES, ImageResult, read_images
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.client import error_code, translate_mlflow_errors
from gtrans_core.tracking.promotion.verdicts import GATE_TAG
from gtrans_core.tracking.registry.run_files import find_run_file
from gtrans_core.tracking.registry.versions import find_version
from gtrans_core.tracking.runs import quoted

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Standing:
    """One registered version.

    Attributes:
        run_id: the run that made it.
        aliases: that point to it, by name.
        gate: ``passed`` or ``refused``; empty where nobody judged it.
    """

    run_id: str
    aliases: tuple[str, ...]
    gate: str


@dataclass(frozen=True)
class Duel:
    """The challenger and the champion.

    Attributes:
        champion: version.
        challenger: version.
        contest: image by image; None where an earlier version of GTrans kept no images of one.
    """

    champion: int
    challenger: int
    contest: Contest | None


def standings_of(client: MlflowClient, category: str) -> dict[int, Standing]:
    """Every version of the category's model by number; none where there is no such model.

    Raises:
        TrackingError: when MLflow refuses or cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    name = model_name(category)
    with translate_mlflow_errors(client.tracking_uri, f"read the versions of {name}"):
        try:
            aliases = client.get_registered_model(name).aliases
        except MlflowException as error:
            if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise
            return {}
        found = client.search_model_versions(f"name = {quoted(name)}")
    return {
        int(version.version): Standing(
            run_id=version.run_id or "",
            aliases=tuple(
                sorted(alias for alias, to in aliases.items() if int(to) == int(version.version))
            ),
            gate=version.tags.get(GATE_TAG, ""),
        )
        for version in found
    }


def duel_of(client: MlflowClient, standings: dict[int, Standing]) -> Duel | None:
    """The challenger beside the champion; None where there are not both.

    Raises:
        ModelError: when the images of one are damaged.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    numbers = {alias: number for number, one in standings.items() for alias in one.aliases}
    champion, challenger = numbers.get(CHAMPION), numbers.get(CHALLENGER)
    if champion is None or challenger is None or champion == challenger:
        return None
    images = [images_of(client, standings[number].run_id) for number in (champion, challenger)]
    old, new = images
    return Duel(champion, challenger, contest(old, new) if old and new else None)


def images_of_version(client: MlflowClient, name: str, version: int) -> list[ImageResult]:
    """What a registered version's run found on each test image; empty where it kept none.

    Raises:
        ModelError: when there is no such version, or the table is damaged.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    return images_of(client, find_version(client, f"models:/{name}/{version}").run_id or "")


def images_of(client: MlflowClient, run_id: str) -> list[ImageResult]:
    """What a run found on each test image; empty where it kept none.

    Raises:
        ModelError: when the table is damaged.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    if not run_id:
        return []
    with (
        translate_mlflow_errors(client.tracking_uri, f"read {IMAGES} of run {run_id}"),
        scratch_folder() as scratch,
    ):
        table = find_run_file(client, run_id, IMAGES, Path(scratch))
        return read_images(table) if table else []
