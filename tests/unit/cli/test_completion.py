"""What the shell offers: names from the registry, and nothing where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from gtrans.cli.main import app
from gtrans.cli.shared.bash_words import WholeWords
from gtrans.cli.shared.completion import categories, category_aliases, models
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.registry.names import RegisteredCategory, registered_categories
from gtrans_core.tracking.runs import open_run
from tests.support.shelf import Shelf


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which two categories are registered; one has a champion."""
    store = tmp_path_factory.mktemp("store")
    run = open_run(TrackingAddress(f"sqlite:///{store}/mlflow.db", "tests"), "k", "flange")
    for category in ("flange", "hose"):
        shelf = Shelf(run, tmp_path_factory.mktemp(category))
        shelf.category = category
        shelf.register()
    run.client.set_registered_model_alias("gtrans-flange", "champion", "1")
    run.client.create_registered_model("gtrans.promotions.flange")
    return store


class Context:
    def __init__(self, store: Path, profile: str | None = None) -> None:
        self.params = {"store": str(store), "profile_name": profile}


def test_the_registry_is_read_without_mlflow(plant: Path):
    uri = f"sqlite:///{plant}/mlflow.db"
    assert registered_categories(uri) == [
        RegisteredCategory("flange", ("challenger", "champion")),
        RegisteredCategory("hose", ("challenger",)),
    ]
    code = "import sys; from gtrans_core.tracking.registry.names import registered_categories as r"
    code += f"; r({uri!r}); print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_categories_and_models_are_offered_by_their_beginning(plant: Path):
    ctx = Context(plant)
    assert categories(ctx, "") == ["flange", "hose"]
    assert categories(ctx, "fl") == ["flange"]
    assert category_aliases(ctx, "flange@ch") == ["flange@challenger", "flange@champion"]
    assert models(ctx, "models:/gtrans-h") == ["models:/gtrans-hose@challenger"]


def test_where_something_is_wrong_nothing_is_offered(tmp_path: Path):
    assert categories(Context(tmp_path), "") == []
    assert categories(Context(tmp_path, "no-such-profile"), "") == []
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    assert categories(Context(tmp_path), "") == []


@pytest.mark.parametrize(
    ("pieces", "offered"),
    [
        (["export", "fl"], ["flange@challenger", "flange@champion"]),
        (["export", "flange", "@"], ["challenger", "champion"]),
        (["export", "flange", "@", "champ"], ["champion"]),
        (["export", "flange@ch"], ["flange@challenger", "flange@champion"]),
        (["predict", "-m", "models", ":", "/gtrans-h"], ["/gtrans-hose@challenger"]),
        (["predict", "--model", "=", "models", ":", "/gtrans-hose", "@"], ["challenger"]),
    ],
)
def test_bash_splits_words_and_gets_the_rest_of_the_last_piece(
    plant: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[str], offered: list[str]
):
    verb, *rest = pieces
    words = ["gtrans", verb, "--store", str(plant), *rest]
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    command = typer.main.get_command(app)
    assert WholeWords(command, {}, "gtrans", "_GTRANS_COMPLETE").complete().split() == offered


def test_the_shell_gets_them(plant: Path):
    environment = os.environ | {
        "_GTRANS_COMPLETE": "complete_bash",
        "COMP_WORDS": f"gtrans export --store {plant} flange @ champ",
        "COMP_CWORD": "6",
    }
    code = "import sys; sys.argv = ['gtrans']; from gtrans.cli.main import app; "
    code += "app(prog_name='gtrans')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["champion"]
