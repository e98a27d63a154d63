"""Which detector answers for a category, and how a new champion takes over."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gtrans.serving.downloads import Download
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import detector_digest, read_info
from gtrans_core.detector.model_name import CHAMPION, alias_uri
from gtrans_core.errors import ConfigError, GTransError, ModelError
from gtrans_core.system.shortcuts import pandas_left_out
from gtrans_core.tracking.client import connect_existing
from gtrans_core.tracking.promotion.approval import require_approved, require_approved_detector
from gtrans_core.tracking.registry.loading import load_registered
from gtrans_core.tracking.registry.origin import report_of
from gtrans_core.tracking.registry.versions import ModelVersion, version_now
from gtrans_core.trust.policy import TrustPolicy

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedModel:
    """A detector as it answers.

    Attributes:
        category: whose parts it looks at.
        version: its number in the registry; 0: a folder's detector, which is not registered.
        digest: sha256 (hex) of ``detector.json``, which names the sha256 of every other file.
        detector: what scores.
    """

    category: str
    version: int
    digest: str
    detector: Detector


class Source(Protocol):
    """Where a category's detector comes from."""

    @property
    def category(self) -> str:
        """Whose parts it looks at."""

    def changed(self, served: ServedModel) -> bool:
        """Whether another detector should be served by now; cheap, since it is asked often."""

    def load(self) -> ServedModel:
        """Fetch it, verify it, and have it score an image."""

    def report(self, served: ServedModel) -> bytes:
        """The HTML report of a detector that was loaded.

        Raises:
            GTransError: where there is none.
        """


class Champion:
    """The champion of a category in a registry.

    Args:
        tracking_uri: where the registry is.
        category: whose champion.
        trust: whose models are loaded; None: as the environment says.

    Raises:
        TrackingError: when there is no registry at the address.
    """

    def __init__(self, tracking_uri: str, category: str, trust: TrustPolicy | None = None) -> None:
        self.category = category
        self._trust = trust or TrustPolicy.from_environment()
        self._approval = 0
        self._refused: ModelVersion | None = None
        self._broken_off: Download | None = None
        with pandas_left_out():
            self._client = connect_existing(tracking_uri)
        self._alias = alias_uri(category, CHAMPION)

    def changed(self, served: ServedModel) -> bool:
        """Whether the alias points to another version, which was not refused before.

        One whose download broke off is left alone for a while.

        Raises:
            ModelError: when there is no champion.
            TrackingError: when the registry cannot be reached.
        """
        found = version_now(self._client, self._alias)
        waits = self._broken_off is not None and self._broken_off.waits(found)
        return found.version != served.version and found != self._refused and not waits

    def load(self) -> ServedModel:
        """The champion of this moment, approved, and verified as ``fetch_model`` does.

        Raises:
            ModelError: when there is no champion, it is not the version approved last, or a file is
                not the registered or signed one.
            ConfigError: when signatures are asked for and there is no public key to check them.
            TrackingError: when the registry cannot be reached.
        """
        found = version_now(self._client, self._alias)
        approval = require_approved(self._client, found, self._trust, self._approval)
        download = self._broken_off or Download()
        self._broken_off = None
        try:
            # By its number: the alias may move on meanwhile.
            loaded = load_registered(self._client, found.uri, self._trust, download.place)
            require_approved_detector(found, approval, loaded.digest)
            model = _warm(ServedModel(self.category, found.version, loaded.digest, loaded.detector))
        except ModelError:
            self._refused = found  # it would be fetched at every look
            raise
        except Exception:
            download.broke_off(found)
            self._broken_off = download
            raise
        finally:
            if self._broken_off is None:
                download.close()
        self._approval = approval
        return model

    def report(self, served: ServedModel) -> bytes:
        """The report in the run that the version came from.

        Raises:
            ModelError: when no run made it.
            TrackingError: when MLflow cannot be reached, or the run has no report.
        """
        return report_of(self._client, self.category, served.version)


class Folder:
    """A detector's folder; read once, since it has no version that could move.

    Raises:
        ModelError: when there is no detector.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.category = read_info(folder).category

    def changed(self, served: ServedModel) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def load(self) -> ServedModel:
        """The folder's detector.

        Raises:
            ModelError: naming the file that is missing, damaged or changed.
        """
        digest = detector_digest(self.folder)
        return _warm(ServedModel(self.category, 0, digest, Detector.load(self.folder)))

    def report(self, served: ServedModel) -> bytes:  # noqa: ARG002
        """None: that is with the run, in the registry.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"{self.folder}: not registered, so it has no report here")


class Models:
    """The detectors that answer, one a category; loading them all is the first thing it does.

    Args:
        sources: where they come from.

    Attributes:
        on_reload: told of each attempt to exchange a detector: its category, and whether the new
            one answers from now on.

    Raises:
        ConfigError: for no source, or two of one category.
        GTransError: for a detector that cannot be loaded.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self.on_reload: Callable[[str, bool], None] | None = None
        self._sources: dict[str, Source] = {}
        for source in sources:
            if source.category in self._sources:
                raise ConfigError(f"category {source.category} is given twice; serve it once")
            self._sources[source.category] = source
        if not self._sources:
            raise ConfigError("nothing to serve: name a category, or a folder with --model")
        self._told: dict[str, str] = {}
        """By category: why the last look failed, which is logged once."""
        self._served = {name: source.load() for name, source in self._sources.items()}

    @property
    def categories(self) -> tuple[str, ...]:
        """All that are served, sorted."""
        return tuple(sorted(self._served))

    def get(self, category: str) -> ServedModel | None:
        """What answers for a category now; None where nothing does."""
        return self._served.get(category)

    def all(self) -> list[ServedModel]:
        """What answers now, by category."""
        return [self._served[category] for category in self.categories]

    def report(self, category: str) -> bytes:
        """The HTML report of what answers for a category that is served; fetched at each call.

        Raises:
            GTransError: where there is none.
        """
        return self._sources[category].report(self._served[category])

    def refresh(self) -> None:
        """Exchange each detector whose champion moved; what fails to load leaves the old one."""
        for category, source in self._sources.items():
            served = self._served[category]
            try:
                if not source.changed(served):
                    self._told.pop(category, None)
                    continue
                model = source.load()
            except Exception as error:  # noqa: BLE001 - the old one must answer whatever happens
                reason = str(error) if isinstance(error, GTransError) else repr(error)
                if self._told.get(category) != reason:
                    _LOG.warning("%s: version %s stays: %s", category, served.version, reason)
                self._told[category] = reason
                self._tell(category, succeeded=False)
                continue
            self._served[category] = model
            self._told.pop(category, None)
            _LOG.info("%s: version %s -> %s", category, served.version, model.version)
            self._tell(category, succeeded=True)

    def _tell(self, category: str, *, succeeded: bool) -> None:
        if self.on_reload is not None:
            self.on_reload(category, succeeded)


class Watcher:
    """Refreshes models at a fixed interval, on a thread of its own."""

    def __init__(self, models: Models, seconds: float) -> None:
        self._models, self._seconds = models, seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End without waiting for a check under way, since the process may be in a hurry."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            self._models.refresh()


def _warm(model: ServedModel) -> ServedModel:
    """Score a black image: the first score is slow, and a detector that fails must not be served.

    Raises:
        ModelError: when the score is not a number.
    """
    shape = model.detector.info.config.image.view_shape
    model.detector.predict_view(np.zeros((3, *shape), np.uint8))
    return model
