"""``gtrans serve``: an HTTP service of champions, or of a detector's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtrans.cli.shared.options import ProfileName, Store
from gtrans_core.errors import ConfigError

if TYPE_CHECKING:
    from gtrans.pipelines.profiles import Profile
    from gtrans.serving.models import Source
    from gtrans.serving.settings import ServeSettings


def serve(
    categories: Annotated[
        list[str] | None, typer.Argument(metavar="[CATEGORY]...", help="Serve their champions.")
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", "-m", metavar="FOLDER", help="Also serve a detector's folder."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen at; 0.0.0.0: every one, with GTRANS_SERVE_TOKEN."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="TCP port to listen at.")] = 8080,
    poll: Annotated[
        float,
        typer.Option("--poll", metavar="SECONDS", help="Time between looks for a new champion."),
    ] = 15.0,
    max_request_bytes: Annotated[
        int, typer.Option("--max-request-bytes", help="Size of one request.")
    ] = 32 * 2**20,
    queue_size: Annotated[
        int, typer.Option("--queue-size", help="How many images may wait, of all requests.")
    ] = 64,
    round_size: Annotated[
        int, typer.Option("--round-size", help="Images scored side by side; 0: one a core.")
    ] = 0,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Answer whoever can reach --host, without a token.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Keep the scores for gtrans drift.")
    ] = True,
    feedback: Annotated[
        bool,
        typer.Option(
            "--feedback",
            help="Keep images that people mark on the page (gtrans feedback).",
        ),
    ] = False,
    feedback_place: Annotated[
        str,
        typer.Option(
            "--feedback-place",
            metavar="DIR|s3://...",
            help="Where they are kept; default: the store.",
        ),
    ] = "",
    feedback_bytes: Annotated[
        int, typer.Option("--feedback-bytes", help="Largest size of all that is kept.")
    ] = 2**30,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Serve detectors over HTTP, with a web page to try images on.

    A category's new champion takes over while the service runs. On SIGTERM the service finishes the
    requests under way and ends.
    """
    settings = _settings(
        host=host,
        port=port,
        poll_seconds=poll,
        max_request_bytes=max_request_bytes,
        queue_size=queue_size,
        round_size=round_size,
        feedback_bytes=feedback_bytes,
    )
    if feedback_place and not feedback:
        raise ConfigError("--feedback-place: nothing is kept without --feedback; give both")
    from gtrans_core.system.shortcuts import garbage_left_alone

    with garbage_left_alone():
        from gtrans.pipelines.profiles import load_profile
        from gtrans.serving.app import create_app
        from gtrans.serving.feedback import FeedbackDesk
        from gtrans.serving.gate import access_for
        from gtrans.serving.models import Models
        from gtrans.serving.server import bind
        from gtrans.serving.server import serve as run_server
        from gtrans_core.watch.feedback import default_place
        from gtrans_core.watch.record import WATCH_FOLDER, ScoreRecorder

        listener = bind(settings)
        access = access_for(host, listener.getsockname()[0], anybody=no_token)
        profile = load_profile(profile_name, store=store)
        desk = None
        if feedback:
            place = feedback_place or default_place(profile.store)
            desk = FeedbackDesk(place, settings.feedback_bytes, settings.feedback_a_minute)
            _say(f"images that people mark are kept in {place}")
        models = Models(_sources(categories or (), model or (), profile))
    if access.host_names is None and not access.token:
        _say(f"warning: {host} can be reached from other machines, and nobody is asked for a token")
    for served in models.all():
        version = f"version {served.version}" if served.version else "not registered"
        _say(f"{served.category}: {version}, digest {served.digest[:12]}")
    _say(f"Open http://{f'[{host}]' if ':' in host else host}:{port}/  (Ctrl-C ends it)")
    with ScoreRecorder(Path(profile.store) / WATCH_FOLDER) as recorder:
        record = recorder.record if watch else lambda *_: None
        run_server(create_app(models, settings, record, access, desk), listener, settings)


def _settings(**values: Any) -> ServeSettings:
    from pydantic import ValidationError

    from gtrans.serving.settings import ServeSettings
    from gtrans_core.storage.documents import describe_validation

    held = ServeSettings.model_fields["max_body_bytes"].default
    try:
        # One request of the size that is allowed can always be held.
        return ServeSettings(**values, max_body_bytes=max(held, values["max_request_bytes"]))
    except ValidationError as error:
        raise ConfigError(describe_validation(error)) from None


def _sources(categories: Sequence[str], folders: Sequence[Path], profile: Profile) -> list[Source]:
    from gtrans.serving.models import Champion, Folder

    folder_sources: list[Source] = [Folder(folder) for folder in folders]
    champions = [Champion(profile.tracking_uri, c, profile.trust) for c in categories]
    return [*folder_sources, *champions]


def _say(line: str) -> None:
    typer.echo(line, err=True)
