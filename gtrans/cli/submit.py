"""``gtrans submit``: categories through the whole pipeline on a Kubeflow cluster."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

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
from gtrans_core.system.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gtrans.pipelines.cluster.kubeflow import Kubeflow
    from gtrans.pipelines.cluster.submit import Submitted


def submit(
    more: MoreCategories = None,
    category: Categories = None,
    data: Data = "",
    host: Host = "",
    namespace: Namespace = "",
    profile_name: ProfileName = "cluster-cpu",
    image: Image = "",
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the runs; end as they end (15: one failed).")
    ] = False,
    separate: Annotated[
        bool,
        typer.Option(
            "--separate", help="A run for each category instead of one run over all of them."
        ),
    ] = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    gate: GateFile = None,
    store: Store = None,
    experiment: Experiment = None,
) -> None:
    """Start the pipeline on Kubeflow, for one category or many.

    The pipeline is compiled for the profile and uploaded, unless this very version is there.
    """
    from gtrans.cli.shared.category_list import chosen_categories
    from gtrans.cli.shared.cluster import connected
    from gtrans.pipelines.cluster.submit import require_success, start, upload
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.graphs import parameters
    from gtrans_core.config import load_config

    names, source = chosen_categories([*(category or ()), *(more or ())], data)
    config = load_config(config_file, overrides or ())
    gates = {name: load_gate(name, gate) for name in names}
    rows, columns = config.image.tiles
    if config.image.has_tiles:
        sys.stderr.write(
            f"note: {rows} x {columns} tiles: an image takes {rows * columns} times the time, and "
            "in the feature cache as many times the room, of one in one piece\n"
        )
    profile, server = connected(profile_name, host, namespace, image, store, experiment, source)
    if len(names) > 1 and not separate:
        pipeline = upload(server, "categories", profile, profile.experiment)
        given = parameters.of_categories(profile, gates, source, config)
        runs = [start(server, pipeline, f"{len(names)} categories", given)]
    else:
        pipeline = upload(server, "category", profile, profile.experiment)
        runs = [
            start(
                server,
                pipeline,
                name,
                parameters.of_category(profile, name, source, config, gates[name]),
            )
            for name in names
        ]
    for run in runs:
        typer.echo(printable(f"{run.name}: {run.page}"))
    if wait:
        require_success(_followed(server, runs))


def _followed(server: Kubeflow, runs: Sequence[Submitted]) -> list[Submitted]:
    from gtrans.pipelines.cluster.submit import follow

    try:
        return follow(server, runs, _tell)
    except KeyboardInterrupt:
        sys.stderr.write("no longer watching; the runs go on (gtrans stop RUN ends one)\n")
        raise typer.Exit(130) from None


def _tell(run: str, step: str, state: str) -> None:
    typer.echo(printable(f"[{' '.join(filter(None, (run, step)))}] {state}"))
