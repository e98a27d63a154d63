"""``gtrans resolve``: what is printed, and what is refused before the registry is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest
import yaml
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans_core.errors import ConfigError
from gtrans_core.tracking.registry.versions import ModelVersion

IMAGE = "registry.example/gtrans:0.1.0"


@pytest.fixture
def registry() -> Iterator[MagicMock]:
    def resolve(client, uri):
        name = uri.removeprefix("models:/").partition("@")[0]
        return ModelVersion(name, 3, "d" * 64, "s3://models/m-7")

    connect = patch("gtrans_core.tracking.client.connect_existing", autospec=True)
    path = "gtrans_core.tracking.registry.versions.version_now"
    with connect, patch(path, autospec=True, side_effect=resolve) as resolved:
        yield resolved


def gtrans(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["resolve", *arguments])


def test_text(registry: MagicMock):
    result = gtrans("bottle")
    assert result.output.splitlines() == [
        "model    gtrans-bottle",
        "version  3",
        "uri      models:/gtrans-bottle/3",
        f"digest   {'d' * 64}",
        "source   s3://models/m-7",
    ]
    assert registry.call_args.args[1] == "models:/gtrans-bottle@champion"


def test_json_of_several_with_an_alias(registry: MagicMock):
    found = json.loads(gtrans("bottle@challenger", "cable", "--json").output)
    assert [(one["name"], one["version"]) for one in found] == [
        ("gtrans-bottle", 3),
        ("gtrans-cable", 3),
    ]
    asked = [call.args[1] for call in registry.call_args_list]
    assert asked == ["models:/gtrans-bottle@challenger", "models:/gtrans-cable@champion"]


@pytest.fixture
def cluster(tmp_path: Path) -> tuple[str, str]:
    profile = tmp_path / "cluster.toml"
    profile.write_text(
        'store = "/tmp/x"\ntracking_uri = "http://mlflow:5000"\nunsigned_models = "allow"\n'
    )
    return "--profile", str(profile)


def test_kserve(registry: MagicMock, cluster: tuple[str, str]):
    result = gtrans(
        "bottle", "cable", *("--kserve", "--image", IMAGE, "--verifier-image", IMAGE), *cluster
    )
    documents = yaml.safe_load_all(result.output)
    found = [one for one in documents if one["kind"] == "InferenceService"]
    assert [one["metadata"]["name"] for one in found] == ["gtrans-bottle", "gtrans-cable"]
    assert found[0]["metadata"]["annotations"]["gtrans/model-digest"] == "d" * 64


def test_deployment(registry: MagicMock, cluster: tuple[str, str]):
    options = ("--deployment", "--image", IMAGE, *cluster)
    text = gtrans("bottle", *options).output
    kinds = [one["kind"] for one in yaml.safe_load_all(text)]
    assert kinds == ["ConfigMap", "Deployment", "Service"]
    assert "GTRANS_SERVE_TOKEN" in text
    text = gtrans("bottle", *options, "--no-token").output
    assert "GTRANS_SERVE_TOKEN" not in text
    assert "--no-token" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["bottle", "--kserve"], "--image is missing"),
        (["bottle", "--kserve", "--image", IMAGE], "--verifier-image is missing"),
        (["bottle", "--kserve", "--json"], "exclude each other"),
        (["bottle@"], "expected CATEGORY or CATEGORY@ALIAS"),
        (["@champion"], "expected CATEGORY or CATEGORY@ALIAS"),
        (["bottle", "--no-token"], "--no-token belongs to --deployment"),
        (["bottle@challenger", "--deployment", "--image", IMAGE], "serves champions only"),
    ],
)
def test_mistakes(arguments: list[str], reason: str):
    result = gtrans(*arguments)
    assert isinstance(result.exception, ConfigError)
    assert reason in str(result.exception)
