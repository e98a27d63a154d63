"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from gtrans.serving.models import ServedModel
from gtrans.serving.worker import Scored

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TOGETHER = (1, 2, 4, 8, 16, 32, 64)
UNKNOWN = ""
"""The label of requests for a category that is not served: a caller's text is never a label."""


class ServiceMetrics:
    """One service's counters, apart from those of other services in the process.

    Args:
        waiting: gives the images that wait or are scored now.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "gtrans_requests",
            "Answered requests to /predict",
            ["category", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "gtrans_request_seconds",
            "From a request's first byte to its answer, in seconds",
            ["category"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._images = Counter(
            "gtrans_images",
            "Scored images",
            ["category", "verdict"],
            registry=self.registry,
        )
        self._scoring_seconds = Histogram(
            "gtrans_scoring_seconds",
            "Decoding, scoring and drawing one image beside others, in seconds",
            ["category"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._side_by_side = Histogram(
            "gtrans_images_side_by_side",
            "Images that were scored at a moment, looked at when another began",
            buckets=_TOGETHER,
            registry=self.registry,
        )
        self._marks = Counter(
            "gtrans_feedback",
            "Images that people marked on the page",
            ["category", "model"],
            registry=self.registry,
        )
        self._reloads = Counter(
            "gtrans_reloads",
            "Attempts to load a new champion",
            ["category", "outcome"],
            registry=self.registry,
        )
        self._model = Gauge(
            "gtrans_model_info",
            "The detector that answers: always 1",
            ["category", "version", "digest"],
            registry=self.registry,
        )
        self._threshold = Gauge(
            "gtrans_threshold",
            "Raw score above which an image is flagged",
            ["category"],
            registry=self.registry,
        )
        queue = Gauge(
            "gtrans_waiting_images", "Images that wait or are scored", registry=self.registry
        )
        queue.set_function(waiting)

    def show_models(self, models: Iterable[ServedModel]) -> None:
        """State which detectors answer from now on."""
        self._model.clear()
        for model in models:
            self._model.labels(model.category, str(model.version), model.digest).set(1)
            self._threshold.labels(model.category).set(model.detector.info.threshold)
            for outcome in ("ok", "failed"):  # a counter that is not there cannot be alerted on
                self._reloads.labels(model.category, outcome)

    def answered(self, category: str, status: int, seconds: float) -> None:
        """Count a request to ``/predict``."""
        self._requests.labels(category, str(status)).inc()
        self._request_seconds.labels(category).observe(seconds)

    def scored(self, model: ServedModel, scored: Scored) -> None:
        """Count a scored image."""
        verdict = "flagged" if scored.verdict.is_anomalous else "ok"
        self._images.labels(model.category, verdict).inc()
        self._scoring_seconds.labels(model.category).observe(scored.seconds)

    def marked(self, category: str, *, was_right: bool) -> None:
        """Count a mark that was kept."""
        self._marks.labels(category, "right" if was_right else "wrong").inc()

    def began(self, images: int) -> None:
        """Count an image that begins, and those that are scored with it."""
        self._side_by_side.observe(images)

    def reloaded(self, category: str, *, succeeded: bool) -> None:
        """Count an attempt to load a new champion."""
        self._reloads.labels(category, "ok" if succeeded else "failed").inc()

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
