"""``gtrans schedule``: train, or watch for drift, again and again on a Kubeflow cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gtrans.cli.shared.options import (
    Categories,
    ConfigFile,
    Data,
    Experiment,
    GateFile,
    Host,
    Image,
    MoreCategories,
    Namespace,
    Overrides,
    ProfileName,
    Store,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def schedule(
    cron: Annotated[
        str,
        typer.Option(
            "--cron", metavar="'S M H D M W'", help="When: '0 0 3 * * *' is 3:00 each night (UTC)."
        ),
    ],
    more: MoreCategories = None,
    category: Categories = None,
    drift: Annotated[
        bool, typer.Option("--drift", help="Watch the champion's scores, instead of training.")
    ] = False,
    since: Annotated[
        str, typer.Option("--since", help="First day of the scores with --drift, or how many days.")
    ] = "7d",
    data: Data = "",
    host: Host = "",
    namespace: Namespace = "",
    profile_name: ProfileName = "cluster-cpu",
    image: Image = "",
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    gate: GateFile = None,
    store: Store = None,
    experiment: Experiment = None,
) -> None:
    """Repeat the pipeline on Kubeflow, one schedule a category."""
    from gtrans.cli.shared.category_list import chosen_categories, named_categories
    from gtrans.cli.shared.cluster import connected
    from gtrans.pipelines.cluster.submit import schedule as repeat
    from gtrans.pipelines.cluster.submit import upload
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.graphs import parameters
    from gtrans_core.config import load_config

    named = [*(category or ()), *(more or ())]
    names, source = (named_categories(named), "") if drift else chosen_categories(named, data)
    config = load_config(config_file, overrides or ())
    profile, server = connected(profile_name, host, namespace, image, store, experiment, source)

    def runs() -> Iterator[tuple[str, dict[str, Any]]]:
        for name in names:
            if drift:
                yield f"drift {name}", parameters.of_drift(profile, name, since)
            else:
                gate_ = load_gate(name, gate)
                yield name, parameters.of_category(profile, name, source, config, gate_)

    pipeline = upload(server, "drift" if drift else "category", profile, profile.experiment)
    for name, given in runs():
        made = repeat(server, pipeline, name, cron, given)
        typer.echo(f"{name}: schedule {made.schedule_id}, {made.cron}")
