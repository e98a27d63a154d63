"""``gtrans stop``: end a run on a Kubeflow cluster, or what starts it again and again."""

from __future__ import annotations

from typing import Annotated

import typer

from gtrans.cli.shared.options import Host, Namespace, ProfileName


def stop(
    which: Annotated[str, typer.Argument(metavar="ID", help="As gtrans runs shows it.")],
    host: Host = "",
    namespace: Namespace = "",
    profile_name: ProfileName = "cluster-cpu",
    schedule: Annotated[
        bool, typer.Option("--schedule", help="ID is a schedule: delete it.")
    ] = False,
) -> None:
    """Stop a run on Kubeflow; submit the same again to go on from what is cached."""
    from gtrans.cli.shared.cluster import connected
    from gtrans.pipelines.cluster.submit import stop as stop_run
    from gtrans.pipelines.cluster.submit import unschedule

    _, server = connected(profile_name, host, namespace)
    if schedule:
        unschedule(server, which)
        typer.echo(f"schedule {which} deleted")
    else:
        stop_run(server, which)
        typer.echo(f"run {which} is stopping")
