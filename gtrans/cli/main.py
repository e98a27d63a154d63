"""The ``gtrans`` command: what it can do, and how it ends on an error."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from gtrans.cli.bench import bench
from gtrans.cli.compare import compare
from gtrans.cli.compile import compile_pipelines
from gtrans.cli.config import show_config
from gtrans.cli.doctor import doctor
from gtrans.cli.drift import drift
from gtrans.cli.history import history
from gtrans.cli.keys import keys
from gtrans.cli.predict import predict
from gtrans.cli.promote import promote
from gtrans.cli.recalibrate import recalibrate
from gtrans.cli.register import register
from gtrans.cli.release import release
from gtrans.cli.resolve import resolve
from gtrans.cli.rollback import rollback
from gtrans.cli.run import run
from gtrans.cli.runs import runs
from gtrans.cli.schedule import schedule
from gtrans.cli.serve import serve
from gtrans.cli.sign import sign
from gtrans.cli.stop import stop
from gtrans.cli.submit import submit
from gtrans_core import __version__
from gtrans_core.errors import GTransError
from gtrans_core.system.text import printable_lines

app = typer.Typer(
    name="gtrans",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run)
app.command("submit")(submit)
app.command("runs")(runs)
app.command("stop")(stop)
app.command("schedule")(schedule)
app.command("predict")(predict)
app.command("drift")(drift)
app.command("recalibrate")(recalibrate)
app.command("register")(register)
app.command("compare")(compare)
app.command("promote")(promote)
app.command("rollback")(rollback)
app.command("history")(history)
app.command("release")(release)
app.command("keys")(keys)
app.command("sign")(sign)
app.command("serve")(serve)
app.command("resolve")(resolve)
app.command("bench")(bench)
app.command("config")(show_config)
app.command("compile")(compile_pipelines)
app.command("doctor")(doctor)


MESSAGES = "reference/messages.md"
"""The page of the docs with a section for each exit code."""


def main() -> None:
    """Entry point: an error that the user can mend is one line and its own exit code."""
    try:
        app()
    except GTransError as error:
        _end(error)
    except OSError as error:
        from gtrans_core.storage import translate_file_errors

        try:
            with translate_file_errors():
                raise error
        except GTransError as told:
            _end(told)


def _end(error: GTransError) -> NoReturn:
    sys.stderr.write(f"error: {printable_lines(str(error))}\n")
    if sys.stderr.isatty():  # a log keeps one line
        sys.stderr.write(f"what to do: docs/{MESSAGES}#exit-code-{error.exit_code}\n")
    sys.exit(error.exit_code)


def _version(wanted: bool) -> None:
    if wanted:
        from gtrans_core.lineage import UNKNOWN, git_sha

        commit = git_sha()
        typer.echo(f"gtrans {__version__}" + (f", commit {commit}" if commit != UNKNOWN else ""))
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version and the commit."
        ),
    ] = False,
) -> None:
    """Visual anomaly detection for factories: learn from good parts, find the bad ones.

    `gtrans run --category demo` takes the built-in demo through the whole pipeline.
    """


if __name__ == "__main__":
    main()
