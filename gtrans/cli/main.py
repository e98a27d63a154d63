"""The ``gtrans`` command: what it can do, and how it ends on an error."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from gtrans.cli.bench import bench
from gtrans.cli.compare import compare
from gtrans.cli.compile import compile_pipelines
from gtrans.cli.config import show_config
from gtrans.cli.doctor import doctor
from gtrans.cli.drift import drift
from gtrans.cli.export import export
from gtrans.cli.feedback import feedback
from gtrans.cli.history import history
from gtrans.cli.keys import keys
from gtrans.cli.predict import predict
from gtrans.cli.promote import promote
from gtrans.cli.recalibrate import recalibrate
from gtrans.cli.register import register
from gtrans.cli.release import release
from gtrans.cli.report import report
from gtrans.cli.resolve import resolve
from gtrans.cli.rollback import rollback
from gtrans.cli.run import run
from gtrans.cli.runs import runs
from gtrans.cli.schedule import schedule
from gtrans.cli.serve import serve
from gtrans.cli.shared.grouped_help import GroupedHelp
from gtrans.cli.sign import sign
from gtrans.cli.stop import stop
from gtrans.cli.submit import submit
from gtrans.cli.ui import ui
from gtrans.cli.verify import verify
from gtrans_core import __version__
from gtrans_core.errors import GTransError, missing_package, unexpected
from gtrans_core.system.text import printable_lines

app = typer.Typer(
    name="gtrans",
    cls=GroupedHelp,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS: dict[str, dict[str, Callable[..., None]]] = {
    "Train": {"run": run, "bench": bench},
    "Judge": {"report": report, "compare": compare, "history": history, "ui": ui},
    "Release": {
        "promote": promote,
        "rollback": rollback,
        "recalibrate": recalibrate,
        "release": release,
        "register": register,
        "sign": sign,
        "verify": verify,
        "resolve": resolve,
    },
    "Use": {
        "predict": predict,
        "serve": serve,
        "drift": drift,
        "feedback": feedback,
        "export": export,
    },
    "Cluster": {
        "submit": submit,
        "runs": runs,
        "stop": stop,
        "schedule": schedule,
        "compile": compile_pipelines,
    },
    "Set up": {"doctor": doctor, "config": show_config, "keys": keys},
}
"""What each verb is for, as the help shows it."""

for _group, _verbs in VERBS.items():
    for _name, _verb in _verbs.items():
        app.command(_name, rich_help_panel=_group)(_verb)


MESSAGES = "reference/messages.md"
"""The page of the docs with a section for each exit code."""


def main() -> None:
    """Entry point: an error that the user can mend is one line and its own exit code."""
    try:
        app()
    except GTransError as error:
        _end(error)
    except ModuleNotFoundError as error:
        missing = missing_package(error.name)
        _end(missing or unexpected(error))
    except OSError as error:
        from gtrans_core.storage import file_error

        _end(file_error(error))
    except Exception as error:  # noqa: BLE001 - nobody reads a traceback on a factory floor
        _end(unexpected(error))


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
