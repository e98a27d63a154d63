"""docs/hooks.py: what the site makes from the code, and what it does to links out of the docs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer.main
from mkdocs.exceptions import PluginError

from gtrans.cli.main import app
from gtrans_core.config import GTransConfig

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
assert SPEC is not None
assert SPEC.loader is not None
hooks = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hooks)

PAGE = SimpleNamespace(file=SimpleNamespace(src_uri="how-to/serve.md"))


def test_every_verb_and_its_options_are_on_the_page():
    page = hooks.commands()
    for verb in typer.main.get_command(app).commands:
        assert f"\n## gtrans {verb}\n" in page
    assert "| `-c, --category NAME...|all` |" in page


def test_every_section_of_the_config_is_on_the_page():
    page = hooks.knobs()
    for name in GTransConfig.model_fields:
        assert f"\n## {name}\n" in page or f"\n| `{name}` | " in page
    assert "\n| `taps` | `[8, 16, 32]` | Strides in pixels" in page
    assert "\n| `crop` | not set | " in page


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[LICENSE](../../LICENSE)", "`LICENSE`"),
        ("[the map](../../CONTRIBUTING.md#repository-layout)", "the map (`CONTRIBUTING.md`)"),
        ("[words](../reference/glossary.md)", "[words](../reference/glossary.md)"),
    ],
)
def test_a_link_out_of_the_docs_becomes_a_name(link: str, shown: str):
    assert hooks.on_page_markdown(link, page=PAGE) == shown


def test_the_check_counts_warnings_as_faults():
    """With ``--quiet`` a strict build passes links to nowhere."""
    recipe = (ROOT / "Makefile").read_text().partition("docs-check: $(INSTALLED)")[2].splitlines()
    assert recipe[1].split()[-2:] == ["build", "--strict"]


def test_the_search_of_a_site_in_a_folder_is_ours_and_not_loaded_from_outside():
    """The plugin would load it from a CDN, unless a script of that name is there."""
    config = (ROOT / "mkdocs.yml").read_text()
    [script] = re.findall(r"polyfills: \[(.*iframe-worker.*)\]", config)
    assert "- offline\n" in config
    assert "IFrameWorker" in (ROOT / "docs" / script).read_text()


def test_a_link_to_a_file_that_is_not_there_fails():
    with pytest.raises(PluginError, match="there is no"):
        hooks.on_page_markdown("[x](../../nothing.md)", page=PAGE)


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example/a.js">',
        "<link rel=stylesheet href=//fonts.example/css>",
        '<img alt="a" src="http://example/a.png">',
    ],
)
def test_a_page_that_loads_from_outside_fails(tmp_path: Path, tag: str):
    (tmp_path / "index.html").write_text('<a href="https://example">a link is none</a>')
    hooks.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))
    (tmp_path / "page.html").write_text(tag)
    with pytest.raises(PluginError, match="from outside"):
        hooks.on_post_build(SimpleNamespace(site_dir=str(tmp_path)))
