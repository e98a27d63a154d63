"""Every verb that asks a server, whatever it answers: one line and a known exit code."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from gtrans.cli.main import app
from gtrans_core import errors
from gtrans_core.errors import GTransError
from gtrans_core.trust.keys import make_key_pair
from tests.support.ending import ending_of
from tests.support.odd_server import ODD_ANSWERS, answering, speaking

CODES = {
    kind.exit_code
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, GTransError)
} - {70}
"""All but that of a fault that nobody foresaw."""

VERBS = {
    "predict": ["image.png", "--model", "models:/gtrans-part@champion"],
    "promote": ["part"],
    "rollback": ["part"],
    "history": ["part"],
    "release": ["part", "--out", "release"],
    "sign": ["part", "--version", "1"],
    "verify": ["models:/gtrans-part@champion"],
    "resolve": ["part"],
    "serve": ["part", "--port", "0"],
    "compare": ["--category", "part"],
    "drift": ["part"],
    "recalibrate": ["part", "--false-alarm-rate", "0.01"],
    "run": ["--category", "part", "--data", "data"],
}
ELSEWHERE = {"bench", "compile", "config", "keys", "runs", "schedule", "stop", "submit"}
"""Those that ask no MLflow server."""
ELSEWHERE |= {"doctor", "register", "export", "feedback", "report", "ui"}
"""They are asked beside what they call: tests/unit/tracking/test_preflight, tests/unit/steps."""


def test_every_verb_is_here():
    names = {command.name for command in app.registered_commands}
    assert names == VERBS.keys() | ELSEWHERE


@contextmanager
def refusing() -> Iterator[str]:
    yield "http://127.0.0.1:9"


@contextmanager
def another_protocol() -> Iterator[str]:
    with speaking(b"220 mail.plant ESMTP\r\n") as place:
        yield f"http://{place}"


@contextmanager
def odd(name: str) -> Iterator[str]:
    with answering(ODD_ANSWERS[name]) as server:
        yield server.url


SERVERS: dict[str, Callable[[], object]] = {
    "nothing listens": refusing,
    "another protocol": another_protocol,
    **{name: lambda name=name: odd(name) for name in ODD_ANSWERS},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0")
    for name in ("GTRANS_STORE", "MLFLOW_RUN_ID", "GTRANS_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(make_key_pair(tmp_path / "keys")[0]))
    Image.new("RGB", (8, 8)).save("image.png")
    (tmp_path / "data/part/train/good").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save("data/part/train/good/0.png")
    return tmp_path


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("verb", VERBS)
def test_whatever_the_server_answers(
    verb: str,
    server: str,
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    if (verb, server) == ("run", "nothing listens"):
        pytest.skip("a run goes on without the server, which only its last step needs")
    with SERVERS[server]() as url:
        profile = place / "profile.toml"
        profile.write_text(f'store = "store"\ntracking_uri = "{url}"\nunsigned_models = "allow"\n')
        code, line = ending_of([verb, *VERBS[verb], "--profile", str(profile)], capsys, monkeypatch)
    assert code in CODES, line


def no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files", "/dev/null")

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/store")

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)


def no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "_get_default_tempdir", refuse)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.parametrize("fault", [no_descriptors, full_disk, no_temporary_folder])
@pytest.mark.parametrize("verb", VERBS)
def test_whatever_the_machine_lacks(
    verb: str,
    fault: Callable[[pytest.MonkeyPatch], None],
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    profile = place / "profile.toml"
    profile.write_text(
        'store = "store"\ntracking_uri = "http://127.0.0.1:9"\nunsigned_models = "allow"\n'
    )
    fault(monkeypatch)
    code, line = ending_of([verb, *VERBS[verb], "--profile", str(profile)], capsys, monkeypatch)
    assert code in CODES, line


def a_file(store: Path) -> None:
    store.write_text("in the way")


def a_file_above(store: Path) -> None:
    store.parent.write_text("in the way")


def a_link_to_itself(store: Path) -> None:
    store.parent.mkdir()
    store.symlink_to(store)


def no_database(store: Path) -> None:
    store.mkdir(parents=True)
    (store / "mlflow.db").write_text("no database")


PLACES = [a_file, a_file_above, a_link_to_itself, no_database]


@pytest.mark.parametrize("lies", PLACES, ids=lambda lies: lies.__name__)
@pytest.mark.parametrize("verb", VERBS)
def test_whatever_lies_where_the_store_should_be(
    verb: str,
    lies: Callable[[Path], None],
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    store = place / "plant" / "store"
    if lies is a_file:
        store.parent.mkdir()
    lies(store)
    profile = place / "profile.toml"
    profile.write_text(f'store = "{store}"\nunsigned_models = "allow"\n')
    arguments = [verb, *VERBS[verb], "--profile", str(profile)]
    arguments = ["1" if one == "0" else one for one in arguments]  # of a port
    code, line = ending_of(arguments, capsys, monkeypatch)
    assert code in CODES, line
    assert line.startswith("error: ")


@pytest.mark.parametrize(("verb", "option"), [("keys", []), ("compile", ["--output"])])
def test_whatever_cannot_be_written(
    verb: str,
    option: list[str],
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    (place / "file").write_text("in the way")
    code, line = ending_of([verb, *option, str(place / "file" / "below")], capsys, monkeypatch)
    assert code in CODES, line
    assert line.startswith("error: ")
