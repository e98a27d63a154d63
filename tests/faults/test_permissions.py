"""What may not be read or written: a line that names it, the right exit code, and nothing lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gtrans_core.errors import (
    ConfigError,
    DataError,
    ModelError,
    StorageError,
    TrackingError,
    WeightsError,
)
from gtrans_core.trust.keys import PRIVATE_NAME, PUBLIC_NAME, make_key_pair
from tests.support.ending import ending_of
from tests.support.images import photo
from tests.support.rights import as_an_ordinary_user
from tests.support.runs import TinyRun, write_part

NOTHING, NO_WRITING = 0, stat.S_IRUSR | stat.S_IXUSR


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GTRANS_TRACEBACK", raising=False)
    monkeypatch.delenv("GTRANS_PROGRESS", raising=False)


@contextmanager
def allowed(mode: int, *paths: Path) -> Iterator[None]:
    """Meanwhile these have this mode, and nobody passes over it."""
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(mode)
    try:
        with as_an_ordinary_user():
            yield
    finally:
        for path, mode_before in before.items():
            path.chmod(stat.S_IMODE(mode_before))


def folders_below(folder: Path) -> list[Path]:
    return [Path(here) for here, _, _ in os.walk(folder)]


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def place(
    tmp_path: Path, finished_run: TinyRun, packaged_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(2):
        (tmp_path / "images" / f"{number}.png").write_bytes(photo(number))
    shutil.copytree(packaged_detector, tmp_path / "detector")
    (tmp_path / "shut").mkdir()
    (tmp_path / "config.toml").write_text("seed = 1\n")
    make_key_pair(tmp_path / "keys")
    store = finished_run.root / "store"
    (tmp_path / "profile.toml").write_text(f'store = "{store}"\nunsigned_models = "allow"\n')
    return tmp_path


def test_root_has_no_say_meanwhile(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("text")
    with allowed(NOTHING, file), pytest.raises(PermissionError):
        file.read_text()
    assert file.read_text() == "text"


PREDICT = ["predict", "images", "--model", "detector"]
PROFILE = ["--profile", "profile.toml"]
READING: dict[str, tuple[list[str], str, int]] = {
    "an image": (PREDICT, "images/1.png", DataError.exit_code),
    "a folder of images": (PREDICT, "images", DataError.exit_code),
    "a detector's facts": (PREDICT, "detector/detector.json", ModelError.exit_code),
    "a detector's graph": (PREDICT, "detector/network.onnx", ModelError.exit_code),
    "a detector's folder": (PREDICT, "detector", ModelError.exit_code),
    "a model to verify": (["verify", "detector"], "detector/network.onnx", ModelError.exit_code),
    "a folder to serve": (
        ["serve", "--model", "detector", "--port", "1"],
        "detector",
        ModelError.exit_code,
    ),
    "a profile": (["drift", "part", *PROFILE], "profile.toml", ConfigError.exit_code),
    "a config": (["config", "--config", "config.toml"], "config.toml", ConfigError.exit_code),
}


@pytest.mark.parametrize("what", READING)
def test_what_cannot_be_read(
    what: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    arguments, name, expected = READING[what]
    with allowed(NOTHING, place / name):
        code, line = ending_of(arguments, capsys, monkeypatch)
    assert code == expected, line
    assert Path(name).name in line
    assert "ermission denied" in line


WRITING: dict[str, tuple[list[str], int]] = {
    "a table": ([*PREDICT, "--out", "shut/scores.csv"], StorageError.exit_code),
    "heat maps": ([*PREDICT, "--heat-maps", "shut/maps"], StorageError.exit_code),
    "an export": (
        ["export", "part@challenger", "--to", "shut/new", *PROFILE],
        StorageError.exit_code,
    ),
    "keys": (["keys", "shut/keys"], StorageError.exit_code),
    "pipelines": (["compile", "--output", "shut/compiled"], StorageError.exit_code),
    "a store": (["run", "--category", "demo", "--store", "shut/store"], StorageError.exit_code),
    "a verified model": (
        ["verify", "models:/gtrans-part/1", "--out", "shut/m", *PROFILE],
        StorageError.exit_code,
    ),
}


@pytest.mark.parametrize("what", WRITING)
def test_what_cannot_be_written(
    what: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    arguments, expected = WRITING[what]
    with allowed(NO_WRITING, place / "shut"):
        code, line = ending_of(arguments, capsys, monkeypatch)
    assert code == expected, line
    assert "shut" in line
    assert "ermission denied" in line
    assert not list((place / "shut").iterdir())


@pytest.mark.parametrize("key", ["private", "public"])
def test_a_key(
    key: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    private, public = place / "keys" / PRIVATE_NAME, place / "keys" / PUBLIC_NAME
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(private))
    monkeypatch.setenv("GTRANS_PUBLIC_KEY", str(public))
    sign = ["sign", "part", "--version", "1", *PROFILE]
    arguments = sign if key == "private" else ["verify", "detector"]
    shut = private if key == "private" else public
    with allowed(NOTHING, shut):
        code, line = ending_of(arguments, capsys, monkeypatch)
    assert code == ConfigError.exit_code, line
    assert shut.name in line
    assert "PRIVATE KEY" not in line


class TestStore:
    """The store of a finished run, which may only be read."""

    @pytest.fixture
    def run(self, finished_run: TinyRun, tmp_path: Path) -> TinyRun:
        shutil.copytree(finished_run.root, tmp_path / "plant")
        return TinyRun(tmp_path / "plant", "again")

    @pytest.fixture
    def shut(self, run: TinyRun) -> Iterator[TinyRun]:
        store = run.root / "store"
        before = contents(store)
        run.go("ingest")
        with allowed(NO_WRITING, *folders_below(store)):
            yield run
        assert contents(store).items() >= before.items()

    @pytest.mark.parametrize("overrides", [(), ("seed=5",)])
    def test_steps(
        self, overrides: tuple[str, ...], shut: TinyRun, capsys: pytest.CaptureFixture[str]
    ):
        """What is kept is used; what is new cannot be made."""
        run = TinyRun(shut.root, "again", overrides=overrides)
        if not overrides:
            run.go("cache_features", "train", "evaluate")
            return
        with pytest.raises(SystemExit) as ended:
            run.go("cache_features", "train")
        [line] = [one for one in capsys.readouterr().out.splitlines() if "error:" in one]
        assert ended.value.code == StorageError.exit_code, line
        assert "ermission denied" in line

    def test_register(self, shut: TinyRun, capsys: pytest.CaptureFixture[str]):
        run = TinyRun(shut.root, "first")
        for file in (run.root / "store").glob("mlflow.db*"):
            file.chmod(stat.S_IRUSR)
        with pytest.raises(SystemExit) as ended:
            run.go("register")
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        [line] = [one for one in said.out.splitlines() if "error:" in one]
        assert ended.value.code in (TrackingError.exit_code, StorageError.exit_code), line
        assert "readonly database" in line or "ermission denied" in line

    def test_scores_are_told_though_none_can_be_kept(
        self,
        shut: TinyRun,
        place: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ):
        registered = ["predict", "images", "--model", "models:/gtrans-part/1"]
        store = ["--store", str(shut.root / "store")]
        code, line = ending_of([*registered, "--out", "new.csv", *store], capsys, monkeypatch)
        assert code == 0, line
        assert (place / "new.csv").exists()


def test_an_unreadable_image_to_train_on_is_named_with_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = write_part(tmp_path)
    run = TinyRun(tmp_path)
    (folder / "train/good/001.png").write_text("text")
    with allowed(NOTHING, folder / "train/good/000.png"), pytest.raises(SystemExit) as ended:
        run.go("ingest")
    said = capsys.readouterr().out
    assert ended.value.code == DataError.exit_code
    assert "000.png" in said
    assert "001.png" in said


def test_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_part(tmp_path)
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"text")
    run = TinyRun(tmp_path, overrides=(f"agn.weights=file:{weights}",))
    run.go("ingest")
    with allowed(NOTHING, weights), pytest.raises(SystemExit) as ended:
        run.go("cache_features")
    [line] = [one for one in capsys.readouterr().out.splitlines() if "error:" in one]
    assert ended.value.code in (WeightsError.exit_code, StorageError.exit_code), line
    assert "weights.safetensors: cannot be read (Permission denied)" in line
