"""What every step of one pipeline run shares: who it is and where it keeps and records things."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gtrans_core.tracking.category_run import CategoryRun
from gtrans_core.tracking.client import TrackingAddress


@dataclass(frozen=True)
class RunContext:
    """One pipeline run on one category.

    Attributes:
        run_key: identifies the pipeline run (the KFP job id).
        category: what is trained.
        store: folder of everything that is kept by content: data sets, caches, trainings.
        tracking_uri: MLflow, ``sqlite:///...`` or a server.
        experiment: MLflow experiment.
    """

    run_key: str
    category: str
    store: str
    tracking_uri: str
    experiment: str

    @property
    def root(self) -> Path:
        """The store as a path."""
        return Path(self.store)

    @property
    def tracking(self) -> TrackingAddress:
        """Where runs are recorded."""
        return TrackingAddress(self.tracking_uri, self.experiment)

    @cached_property
    def run(self) -> CategoryRun:
        """The category's MLflow run, which this step finds once."""
        return CategoryRun(self.tracking, self.run_key, self.category)

    @property
    def weights_folder(self) -> Path:
        """Where backbone weights from S3 are kept."""
        return self.root / "weights"
