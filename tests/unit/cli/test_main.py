"""The command as a whole: help, version, how it ends on an error, and how fast it starts."""

import errno
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from gtrans.cli.main import VERBS as GROUPS
from gtrans.cli.main import app, main
from gtrans_core import __version__
from gtrans_core.errors import StorageError
from gtrans_core.lineage import UNKNOWN
from tests.support.processes import cpu_seconds

VERBS = [verb for verbs in GROUPS.values() for verb in verbs]
HEAVY = {"torch", "timm", "kfp", "mlflow", "numpy", "pandas", "pydantic", "matplotlib", "boto3"}


def test_help_lists_every_verb_with_a_line():
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for verb in VERBS:
        assert re.search(rf"^  {verb}\s+[A-Z]", result.output, flags=re.MULTILINE)


def test_help_groups_the_verbs_by_what_they_are_for():
    shown = CliRunner().invoke(app, ["--help"]).output
    titles = re.findall(r"^([A-Z][a-z ]+):$", shown, flags=re.MULTILINE)
    assert titles == ["Options", "Train", "Judge", "Release", "Use", "Cluster", "Set up"]
    for title, verbs in GROUPS.items():
        block = shown.partition(f"\n{title}:\n")[2].partition("\n\n")[0]
        assert re.findall(r"^  ([a-z]+) ", block, flags=re.MULTILINE) == list(verbs)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_describes_every_option(verb: str):
    result = CliRunner().invoke(app, [verb, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    one_line_each = re.sub(r"\n {6,}", " ", result.output)
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)(.*)$", one_line_each, flags=re.MULTILINE)
    assert options
    for option, rest in options:
        assert re.search(r"[A-Z]\w* \w", rest), f"{verb} {option} says nothing"


@pytest.mark.parametrize(("commit", "shown"), [("abc", ", commit abc"), (UNKNOWN, "")])
def test_version_and_where_it_is_known_the_commit(
    monkeypatch: pytest.MonkeyPatch, commit: str, shown: str
):
    monkeypatch.setenv("GTRANS_GIT_SHA", commit)
    assert CliRunner().invoke(app, ["--version"]).output == f"gtrans {__version__}{shown}\n"


def test_a_user_error_is_one_line_and_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["gtrans", "run", "--category", "demo", "--set", "sede=3"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 3
    error = capsys.readouterr().err
    assert error.startswith("error: config: unknown key 'sede'")
    assert error.count("\n") == 1


def test_on_a_terminal_an_error_names_the_section_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["gtrans", "run", "--category", "demo", "--set", "sede=3"])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with pytest.raises(SystemExit):
        main()
    _, hint = capsys.readouterr().err.splitlines()
    assert hint == "what to do: docs/reference/messages.md#exit-code-3"


def test_what_the_system_says_of_a_file_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/store/a")

    monkeypatch.setattr("gtrans.cli.main.app", full)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == StorageError.exit_code
    assert capsys.readouterr().err == (
        "error: /store/a: the disk is full; make room or choose another folder\n"
    )


def test_help_imports_nothing_heavy():
    code = "import sys, gtrans.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


def test_help_is_drawn_without_rich():
    """It is a third of the time of ``gtrans --help``."""
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gtrans.cli.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "typer" in shown.stderr
    assert not re.search(r"\brich\b", shown.stderr)


def test_help_takes_less_than_half_a_second_of_cpu():
    """CPU time, the best of three; where a busy machine stretches it: beside typer alone."""
    help_alone = [(cpu_seconds("-m", "gtrans.cli.main", "--help"), _typer()) for _ in range(3)]
    seconds, beside = min(help_alone)
    assert seconds < 0.5 or seconds < 1.6 * beside


def _typer() -> float:
    return cpu_seconds("-c", "import typer")
