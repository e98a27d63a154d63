"""What the processes of ``start_process`` find loaded, and are not to look through for garbage."""
# ruff: noqa: F401

from __future__ import annotations

import gc

import gtrans.cli.predict
import gtrans.pipelines.gates
import gtrans_core.batch.run
import gtrans_core.detector.detector
import gtrans_core.features.shared
import gtrans_core.features.weights
import gtrans_core.steps.learning
import gtrans_core.steps.train
import gtrans_core.storage.s3
import gtrans_core.tracking.promotion.promotion
from gtrans_core.tracking.client import import_mlflow_for_database

import_mlflow_for_database()
gc.collect()
gc.freeze()
