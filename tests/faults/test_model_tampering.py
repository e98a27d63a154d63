"""Faults 19 and 20: a registered model that somebody changed, or that asks to run code.

A real (small) detector, packaged, signed and registered; every damage is done where the registry
keeps it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gtrans_core.config import GTransConfig
from gtrans_core.detector.detector import Detector
from gtrans_core.errors import ConfigError, ModelError, StorageError
from gtrans_core.evaluation.gate import Gate
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.promotion.promotion import promote, rollback
from gtrans_core.tracking.registry.model import file_digests, log_model
from gtrans_core.tracking.registry.model_files import FILES_TAG
from gtrans_core.tracking.registry.registry import fetch_model, register
from gtrans_core.tracking.runs import open_run
from gtrans_core.tracking.verify import verify_folder, verify_registered
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy
from tests.support.detectors import make_detector
from tests.support.packages import bring_little_code

WEIGHTS = "artifacts/detector/trans.safetensors"
CODE = "code/gtrans_core/detector/detector.py"
UNSIGNED = TrustPolicy(unsigned="allow")
GATE = Gate(
    floors={},
    minimum_gain={},
    maximum_loss_per_defect={},
    minimum_test_images=1,
    same_data_as_champion=False,
    as_many_test_images_as_champion=False,
)


@dataclass
class Plant:
    """A registry with signed detectors of two categories."""

    client: Any
    models: dict[str, Path]
    """Where the registry keeps each category's version 1."""
    key: SigningKey
    trust: TrustPolicy

    def fetch(self, destination: Path, trust: TrustPolicy | None = None) -> Path:
        return fetch_model(self.client, "models:/gtrans-bottle/1", destination, trust or self.trust)

    def claim(self, detector: Path) -> None:
        """Somebody who can write to the registry's database too makes its digests fit."""
        tag = json.dumps(file_digests(detector))
        self.client.set_model_version_tag("gtrans-bottle", "1", FILES_TAG, tag)


@pytest.fixture(scope="module")
def photo(tmp_path_factory, make_photos) -> bytes:
    folder = tmp_path_factory.mktemp("photos")
    return (folder / make_photos(folder, 1).samples[0].path).read_bytes()


@pytest.fixture(scope="module")
def registry(tmp_path_factory, tiny_config, photo) -> Plant:
    """Models with little code: what is done to a file does not depend on the others."""
    with pytest.MonkeyPatch.context() as patch:
        bring_little_code(patch)
        return filled(tmp_path_factory.mktemp("registry"), tiny_config, photo)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_config, photo) -> Plant:
    """Models as they are; tests change none of them."""
    return filled(tmp_path_factory.mktemp("whole"), tiny_config, photo)


def filled(folder: Path, tiny_config: Callable[..., GTransConfig], photo: bytes) -> Plant:
    private, public = make_key_pair(folder / "keys")
    settings = TrackingAddress(f"sqlite:///{folder}/mlflow.db", "tests")
    plant = Plant(None, {}, SigningKey(private), TrustPolicy(public))
    for seed, category in enumerate(("bottle", "cable")):
        detector = save_detector(folder / category, tiny_config(f"seed={seed}"), category)
        run = open_run(settings, category, category)
        plant.client = run.client
        uri = log_model(run.client, run.run_id, detector, photo, plant.key)
        tags = {"test_images": "9", "metric.image_auroc": "0.9"}
        made, _ = register(run.client, run.run_id, uri, category, detector, tags)
        stored = run.client.get_model_version_download_uri(made.name, "1")
        plant.models[category] = Path(stored.removeprefix("file://"))
    return plant


@pytest.fixture
def plant(registry, tmp_path) -> Iterator[Plant]:
    """The registry; what a test damages is as before afterwards."""
    model = registry.models["bottle"]
    backup = shutil.copytree(model, tmp_path / "backup")
    yield registry
    shutil.rmtree(model)
    shutil.copytree(backup, model)
    registry.claim(model / "artifacts/detector")


def save_detector(folder: Path, config: GTransConfig, category: str) -> Path:
    facts = {"category": category, "threshold": 0.5}
    make_detector(config, **facts).save(folder)
    return folder


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def flip_a_bit_and_let_detector_json_agree(model: Path) -> None:
    flip_a_bit(model / WEIGHTS)
    info = model / "artifacts/detector/detector.json"
    facts = json.loads(info.read_text())
    facts["files"] |= {"trans.safetensors": file_digests(info.parent)["trans.safetensors"]}
    info.write_text(json.dumps(facts))


def raise_the_threshold(model: Path) -> None:
    info = model / "artifacts/detector/detector.json"
    info.write_text(info.read_text().replace('"threshold": 0.5', '"threshold": 99.0'))
    assert "99.0" in info.read_text()


def append(model: Path, file: str, text: str) -> None:
    with (model / file).open("a") as opened:
        opened.write(text)


def add(model: Path, file: str, text: str = "") -> None:
    (model / file).parent.mkdir(parents=True, exist_ok=True)
    (model / file).write_text(text)


def test_untouched_it_loads_and_promotion_lets_it_pass(plant, tmp_path, photo):
    detector = Detector.load(plant.fetch(tmp_path / "fetched"))
    assert len(detector.predict_bytes([photo])) == 1
    assert promote(plant.client, "bottle", GATE, dry_run=True, trust=plant.trust).moved


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (lambda m: flip_a_bit(m / WEIGHTS), "trans.safetensors was changed"),
        (flip_a_bit_and_let_detector_json_agree, "detector.json was changed"),
        (raise_the_threshold, "detector.json was changed"),
        (lambda m: (m / WEIGHTS).unlink(), "trans.safetensors is missing"),
        (lambda m: (m / "artifacts/detector/x.json").touch(), "detector/x.json is not covered"),
        (lambda m: append(m, "served_model.py", "\n"), "served_model.py was changed"),
        (
            lambda m: append(m, "code/gtrans_core/detector/detector.py", "\n"),
            "detector.py was changed",
        ),
        (lambda m: (m / "code/torch.py").touch(), "code/torch.py is not covered"),
        (lambda m: add(m, "code/safetensors/__init__.py"), "safetensors/__init__.py is not cov"),
        (lambda m: add(m, "code/gtrans_core/errors/__init__.py"), "errors/__init__.py is not cov"),
        (lambda m: add(m, "sitecustomize.pth"), "sitecustomize.pth is not covered"),
        (lambda m: append(m, "requirements.txt", "\nevil"), "requirements.txt was changed"),
        (lambda m: (m / "model.sig").unlink(), "model.sig is missing"),
    ],
)
def test_fault_19_a_changed_missing_or_extra_file_is_refused_by_name(plant, tmp_path, damage, file):
    damage(plant.models["bottle"])
    with pytest.raises(ModelError, match=rf"models:/gtrans-bottle/1: .*{file}"):
        plant.fetch(tmp_path / "fetched")
    assert list((tmp_path / "fetched").iterdir()) == []
    with pytest.raises(ModelError, match=file):
        promote(plant.client, "bottle", GATE, trust=plant.trust)
    assert "champion" not in plant.client.get_registered_model("gtrans-bottle").aliases


@pytest.mark.parametrize("damage", [flip_a_bit_and_let_detector_json_agree, raise_the_threshold])
def test_fault_19_a_registry_that_agrees_with_the_damage_does_not_help(plant, tmp_path, damage):
    """Without a signature this would load: who can write files and database can lie in both."""
    damage(plant.models["bottle"])
    plant.claim(plant.models["bottle"] / "artifacts/detector")
    plant.fetch(tmp_path / "fetched", UNSIGNED)
    with pytest.raises(ModelError, match=r"file artifacts/detector/.* was changed after it was s"):
        plant.fetch(tmp_path / "fetched")


@pytest.mark.parametrize("trust", ["signed", "unsigned"])
def test_fault_19_another_categorys_model_is_refused_although_it_is_signed(plant, tmp_path, trust):
    model = plant.models["bottle"]
    shutil.rmtree(model)
    shutil.copytree(plant.models["cable"], model)
    plant.claim(model / "artifacts/detector")
    with pytest.raises(ModelError, match=r"detector\.json is of a detector of cable, not bottle"):
        plant.fetch(tmp_path / "fetched", plant.trust if trust == "signed" else UNSIGNED)


def test_another_key_and_no_key_are_refused(plant, tmp_path):
    _, others = make_key_pair(tmp_path / "others")
    with pytest.raises(ModelError, match="signed with another key"):
        plant.fetch(tmp_path / "fetched", TrustPolicy(others))
    with pytest.raises(ConfigError, match="no public key is known"):
        plant.fetch(tmp_path / "fetched", TrustPolicy())


def loads_with(**changes: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        import yaml

        path = model / "MLmodel"
        facts = yaml.safe_load(path.read_text())
        facts["flavors"]["python_function"] |= changes
        path.write_text(yaml.safe_dump(facts))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda m: (m / "python_model.pkl").touch(), "file python_model.pkl may be a pickle"),
        (lambda m: (m / "artifacts/detector/a.PTH").touch(), "detector/a.PTH may be a pickle"),
        (lambda m: (m / "code/weights.joblib").touch(), "file code/weights.joblib may be a pickle"),
        (loads_with(loader_module="mlflow.sklearn"), "asks for the loader mlflow.sklearn of"),
        (loads_with(loader_module="evil"), "asks for the loader evil of served_model.py"),
        (loads_with(model_code_path="../evil.py"), r"of \.\./evil\.py: expected"),
        (loads_with(python_model="python_model.pkl"), "MLmodel asks for"),
        (lambda m: (m / "MLmodel").write_text("flavors: {}"), "MLmodel is not one of ours"),
        (lambda m: (m / "MLmodel").write_text("!!python/object:x {}"), "MLmodel is not one of"),
    ],
)
def test_fault_20_a_pickle_or_an_unknown_loader_is_refused_even_unsigned(
    plant, tmp_path, damage, message
):
    damage(plant.models["bottle"])
    with pytest.raises(ModelError, match=message):
        plant.fetch(tmp_path / "fetched", UNSIGNED)


def test_fault_20_what_we_save_holds_no_pickle(whole):
    suffixes = {path.suffix for path in whole.models["bottle"].rglob("*")}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib", ".npy", ".pyc"}


def test_fault_21_a_rollback_to_a_model_that_fails_is_refused(plant, tmp_path, tiny_config, photo):
    folder = save_detector(tmp_path / "next", tiny_config("seed=2"), "bottle")
    promote(plant.client, "bottle", GATE, 1, trust=plant.trust)
    run = open_run(TrackingAddress(plant.client.tracking_uri, "tests"), "next", "bottle")
    uri = log_model(run.client, run.run_id, folder, photo, plant.key)
    tags = {"test_images": "9", "metric.image_auroc": "0.9"}
    register(run.client, run.run_id, uri, "bottle", folder, tags)
    assert promote(plant.client, "bottle", GATE, 2, trust=plant.trust).champion == 2
    append(plant.models["bottle"], CODE, "\n")
    with pytest.raises(ModelError, match=f"gtrans-bottle/1: file {CODE}"):
        rollback(plant.client, "bottle", trust=plant.trust)
    version = plant.client.get_model_version_by_alias("gtrans-bottle", "champion").version
    assert int(version) == 2


HOSTILE = {
    "brackets": "[" * 100_000,
    "NaN": '{"threshold": NaN}',
    "a huge number": '{"threshold": ' + "9" * 5000 + "}",
    "an alias bomb": "a: &a [x]\nb: [*a, *a]",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("file", ["MLmodel", "artifacts/detector/detector.json", "model.sig"])
def test_nothing_is_parsed_before_the_signature_and_all_of_it_ends_in_one_line(
    plant, tmp_path, file, text
):
    (plant.models["bottle"] / file).write_text(text)
    signed = f"file {file} was changed after it was signed"
    with pytest.raises(ModelError, match="model.sig is damaged" if file == "model.sig" else signed):
        plant.fetch(tmp_path / "fetched")
    plant.claim(plant.models["bottle"] / "artifacts/detector")
    if file != "model.sig":
        with pytest.raises(ModelError) as refused:
            plant.fetch(tmp_path / "fetched", UNSIGNED)
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < 500


def test_bytecode_and_empty_folders_that_nobody_signed_are_never_used(plant, tmp_path):
    model = plant.models["bottle"]
    add(model, "code/gtrans_core/__pycache__/errors.cpython-311.pyc", "evil")
    (model / "code/safetensors").mkdir()
    assert plant.fetch(tmp_path / "fetched").is_dir()  # of a copy, without them
    with pytest.raises(ModelError, match=r"__pycache__/errors.cpython-311.pyc is not covered"):
        verify_folder(model, plant.trust)
    shutil.rmtree(model / "code/gtrans_core/__pycache__")
    with pytest.raises(ModelError, match=r"code/safetensors is an empty folder"):
        verify_folder(model, plant.trust)


class TestVerify:
    """``gtrans verify``: the installed code looks at the files, none of them runs."""

    def test_a_folder_a_version_and_a_champion(self, plant, tmp_path):
        model = plant.models["bottle"]
        found = verify_folder(model, plant.trust)
        assert found.what == "a detector of bottle"
        assert found.checked == ("signature", "digests")
        out = tmp_path / "out"
        out.mkdir()
        uri = "models:/gtrans-bottle/1"
        again = verify_registered(plant.client, uri, plant.trust, found.digest, out)
        assert (again.what, again.digest) == ("bottle version 1", found.digest)
        assert verify_folder(out, plant.trust, found.digest) == found
        with pytest.raises(StorageError, match="holds something already"):
            verify_registered(plant.client, uri, plant.trust, out=out)

    def test_another_digest_and_another_key_are_refused(self, plant, tmp_path):
        model = plant.models["bottle"]
        with pytest.raises(ModelError, match=r"the detector's digest is .*: expected 0000"):
            verify_folder(model, plant.trust, "0" * 64)
        _, others = make_key_pair(tmp_path / "others")
        with pytest.raises(ModelError, match="signed with another key"):
            verify_folder(model, TrustPolicy(others))
        with pytest.raises(ConfigError, match="no public key is known"):
            verify_folder(model, TrustPolicy())

    def test_code_in_the_model_does_not_run(self, plant, tmp_path):
        model = plant.models["bottle"]
        mark = tmp_path / "ran"
        for file in ("code/safetensors/__init__.py", "code/json.py", "served_model.py"):
            add(model, file, f"open({str(mark)!r}, 'w')")
        with pytest.raises(ModelError, match=r"served_model\.py was changed after it was signed"):
            verify_folder(model, plant.trust)
        with pytest.raises(ModelError):
            verify_registered(plant.client, "models:/gtrans-bottle/1", plant.trust)
        assert not mark.exists()

    @pytest.mark.parametrize("folder", ["nothing", "empty"])
    def test_what_is_no_model_is_refused(self, plant, tmp_path, folder):
        (tmp_path / "empty").mkdir()
        with pytest.raises(ModelError, match=str(tmp_path / folder)):
            verify_folder(tmp_path / folder, UNSIGNED)
        with pytest.raises(ModelError, match=str(tmp_path / folder)):
            verify_folder(tmp_path / folder, plant.trust)


LOAD = """
import os, sys
import mlflow, pandas
for model, public_key in zip(sys.argv[2::2], sys.argv[3::2]):
    os.environ["GTRANS_PUBLIC_KEY"] = public_key
    try:
        image = open(sys.argv[1], "rb").read()
        loaded = mlflow.pyfunc.load_model(model)
        print("loaded", len(loaded.predict(pandas.DataFrame({"image": [image]}))))
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_mlflow_itself_loads_what_is_signed_with_pickle_forbidden(whole, tmp_path, photo):
    """As ``mlflow models serve`` does, where the registry keeps the model, and twice."""
    (tmp_path / "image.png").write_bytes(photo)
    model, public_key = whole.models["bottle"], str(whole.trust.public_key)
    damaged = shutil.copytree(model, tmp_path / "damaged")
    flip_a_bit_and_let_detector_json_agree(damaged)
    extra = shutil.copytree(model, tmp_path / "extra")
    (extra / "artifacts/detector/more.json").write_text("{}")
    unsigned = shutil.copytree(model, tmp_path / "unsigned")
    (unsigned / "model.sig").unlink()
    _, others = make_key_pair(tmp_path / "others")
    registered = "models:/gtrans-bottle/1"
    shadow = shutil.copytree(model, tmp_path / "shadow")
    mark = tmp_path / "ran"
    add(shadow, "code/safetensors/__init__.py", f"open({str(mark)!r}, 'w')")
    inside = shutil.copytree(model, tmp_path / "inside")
    add(inside, "code/gtrans_core/errors/__init__.py", f"open({str(mark)!r}, 'w')")
    attempts = [(registered, public_key), (registered, public_key), (damaged, public_key)]
    attempts += [(extra, public_key), (unsigned, public_key), (model, others), (model, "")]
    attempts += [(shadow, public_key), (inside, public_key)]
    hollow = shutil.copytree(model, tmp_path / "hollow")
    (hollow / "code/safetensors/numpy").mkdir(parents=True)
    attempts.append((hollow, public_key))
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "MLFLOW_TRACKING_URI": whole.client.tracking_uri,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    arguments = [str(part) for attempt in attempts for part in attempt]
    result = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "image.png"), *arguments],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    said = result.stdout.splitlines()
    assert said[:2] == ["loaded 1", "loaded 1"], result.stdout + result.stderr
    assert said[2].startswith("ModelError the model: file artifacts/detector/")
    assert "file artifacts/detector/more.json is not covered by the signature" in said[3]
    assert said[4].startswith("ModelError the model: not signed (model.sig is missing)")
    assert "signed with another key" in said[5]
    assert said[6].startswith("ConfigError the model: models must be signed here")
    assert "folder code/safetensors is not covered by the signature" in said[7]
    assert "folder code/gtrans_core/errors is not covered by the signature" in said[8]
    assert said[9] == "loaded 1"
    assert not (hollow / "code/safetensors").exists()  # which Python would import
    assert not mark.exists()
    # What Python and MLflow left beside the stored model does no harm.
    whole.fetch(tmp_path / "fetched")
