"""A registered model whose versions are plain folders: all but the cost of real detectors."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

from gtrans_core.tracking.registry.registry import register
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.tracking.runs import RunLogger


class Shelf:
    """Logs plain folders as models, without the cost of packaging real detectors."""

    def __init__(self, run: RunLogger, scratch: Path) -> None:
        self.run, self.client, self.scratch = run, run.client, scratch
        self.category = f"c{uuid4().hex[:8]}"

    @property
    def name(self) -> str:
        return f"gtrans-{self.category}"

    def detector(self, content: str) -> Path:
        folder = self.scratch / uuid4().hex
        folder.mkdir()
        facts = {"category": self.category, "content": content}
        (folder / "detector.json").write_text(json.dumps(facts))
        (folder / "trans.safetensors").write_text(content)
        return folder

    def log(self, detector: Path) -> str:
        experiment = self.client.get_run(self.run.run_id).info.experiment_id
        model = self.client.create_logged_model(experiment, "detector", self.run.run_id)
        self.client.log_model_artifacts(model.model_id, str(detector), "artifacts/detector")
        return f"models:/{model.model_id}"

    def register(
        self, content: str = "one", image_auroc: float = 0.99, description: str = "", **tags: str
    ) -> ModelVersion:
        """A version with the evidence that the gate looks at; ``tags`` change it."""
        return self.register_or_find(content, image_auroc, description, **tags)[0]

    def register_or_find(
        self, content: str, image_auroc: float = 0.99, description: str = "", **tags: str
    ) -> tuple[ModelVersion, bool]:
        """The same, and whether the version is new."""
        detector = self.detector(content)
        uri = self.log(detector)
        evidence = {
            "data_digest": "d" * 64,
            "test_images": "80",
            "metric.image_auroc": f"{image_auroc:.6f}",
            "metric.defect/dent/caught": "0.9",
        }
        all_tags = {**evidence, **tags}
        return register(
            self.client, self.run.run_id, uri, self.category, detector, all_tags, description
        )

    def alias(self, name: str) -> int | None:
        """The version that an alias points to."""
        found = self.client.get_registered_model(self.name).aliases.get(name)
        return None if found is None else int(found)

    def tags(self, version: int) -> dict[str, str]:
        return self.client.get_model_version(self.name, str(version)).tags

    def stored(self, version: int) -> Path:
        """Where the registry keeps a version's detector."""
        uri = self.client.get_model_version_download_uri(self.name, str(version))
        return Path(uri.removeprefix("file://")) / "artifacts/detector"
