"""``gtrans export``: which model is exported, and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest.mock import patch

from typer.testing import CliRunner

from gtrans.cli.main import app
from gtrans_core.errors import ConfigError
from gtrans_core.tracking.registry.versions import ModelVersion


def test_a_registered_model_is_exported_and_named(tiny_detector: Path, tmp_path: Path):
    def fetch(client: object, uri: str, folder: Path, trust: object) -> Path:
        assert uri == "models:/gtrans-part/3"
        return Path(shutil.copytree(tiny_detector, folder / "detector"))

    found = ModelVersion("gtrans-part", 3, "d" * 64, "")
    with (
        patch("gtrans_core.tracking.client.connect_existing", autospec=True),
        patch("gtrans_core.tracking.registry.registry.fetch_model", side_effect=fetch),
        patch(
            "gtrans_core.tracking.registry.versions.version_now", autospec=True, return_value=found
        ) as asked,
    ):
        result = CliRunner().invoke(app, ["export", "part@challenger", "--to", str(tmp_path / "x")])
    assert result.exit_code == 0, result.output
    assert asked.call_args.args[1] == "models:/gtrans-part@challenger"
    assert result.output.splitlines()[0] == f"gtrans-part version 3: {tmp_path / 'x'}"
    assert "model.onnx  scores within" in result.output
    facts = json.loads((tmp_path / "x/export.json").read_text())
    assert (facts["version"], facts["digest"]) == (3, "d" * 64)


def test_a_name_that_is_none_is_refused(tmp_path: Path):
    result = CliRunner().invoke(app, ["export", "part@", "--to", str(tmp_path / "x")])
    assert isinstance(result.exception, ConfigError)
