"""``gtrans run``: categories through the whole pipeline on this machine."""

from __future__ import annotations

import typer

from gtrans.cli.shared.options import (
    Categories,
    ConfigFile,
    Data,
    Experiment,
    GateFile,
    MoreCategories,
    Overrides,
    ProfileName,
    Store,
    Verbose,
)


def run(
    more: MoreCategories = None,
    category: Categories = None,
    data: Data = "",
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    gate: GateFile = None,
    profile_name: ProfileName = "local",
    store: Store = None,
    experiment: Experiment = None,
    verbose: Verbose = False,
) -> None:
    """Train, evaluate and register a detector for each category.

    Runs the compiled pipeline: ingest, cache_features, train, evaluate, register. If one of
    several categories fails, the others still finish.
    """
    from gtrans.cli.shared.category_list import chosen_categories
    from gtrans.cli.shared.category_run import explain_failure, run_categories, run_category
    from gtrans.cli.shared.next_command import profile_options
    from gtrans.cli.shared.summary import show_ranking, show_summary
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.config import load_config

    profile = load_profile(profile_name, store=store, experiment=experiment)
    names, source = chosen_categories([*(category or ()), *(more or ())], data)
    config = load_config(config_file, overrides or ())
    gates = {name: load_gate(name, gate) for name in names}
    same_profile = profile_options(profile_name, profile.store if store else None)
    if len(names) > 1:
        several = run_categories(profile, gates, source, config, verbose=verbose)
        show_ranking(several, profile, same_profile)
        if several.summary.exit_code:
            raise typer.Exit(several.summary.exit_code)
        return
    finished = run_category(profile, names[0], source, config, gates[names[0]], verbose=verbose)
    if finished.outcome.exit_code:
        explain_failure(finished, profile_name)
        raise typer.Exit(finished.outcome.exit_code)
    show_summary(finished.outcome.results, names[0], finished.report, profile, same_profile)
