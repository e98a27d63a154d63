"""What mkdocs cannot do by itself: pages made from the code, links into the repository, no outside.

A hook of ``mkdocs.yml``. A page may link to any file of the repository; the site has only the docs,
so that such a link becomes the file's name there, once it is known to exist.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from gtrans.cli.config import first_line, knobs_of, sections_of
from gtrans.cli.main import app
from gtrans_core.config import GTransConfig

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(((?:\.\./)+[^)\s#]+)(#[^)\s]*)?\)")
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc="?(?:https?:)?//[^">\s]+"""
    r"""|<link\b[^>]*\brel="?(?:stylesheet|preconnect|preload)"?[^>]*\bhref="?(?:https?:)?//[^">\s]+"""
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    for path, text in (("commands", commands()), ("config", knobs())):
        files.append(File.generated(config, f"reference/{path}.md", content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """A link to a file outside of the docs becomes the file's name."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def named(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[2]))
        if target.is_relative_to(ROOT / "docs"):
            return found[0]
        if not target.exists():
            raise PluginError(f"{page.file.src_uri}: there is no {found[2]}")
        name = target.relative_to(ROOT).as_posix()
        return f"`{name}`" if found[1] in (target.name, name) else f"{found[1]} (`{name}`)"

    return _LINK.sub(named, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """No page loads anything from outside."""
    for page in Path(config.site_dir).rglob("*.html"):
        if found := _LOADED.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page}: loads from outside: {found[0]}")


def commands() -> str:
    """Every verb of the command line with its arguments and options, from typer."""
    group: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "Made from the commands themselves: `gtrans VERB --help` says the same. "
        "Exit codes: [messages](messages.md).",
        "",
    ]
    for name, command in group.commands.items():
        context = command.context_class(command, info_name=f"gtrans {name}")
        lines += [f"## gtrans {name}", "", command.help or "", "", "```text"]
        lines += [command.get_usage(context).removeprefix("Usage: "), "```", ""]
        lines += ["| option | meaning |", "|---|---|", *_options(command, context), ""]
    return "\n".join(lines)


def knobs() -> str:
    """Every knob of the config by section: its default, its type and its meaning."""
    lines = [
        "# Config",
        "",
        "Every knob with its default, its type and what it sets. `gtrans config` prints them as a "
        "file to start from. How to change one: [which setting](../how-to/configure.md).",
    ]
    for name, section in sections_of(GTransConfig()).items():
        lines += ["", f"## {name or 'At the top'}", ""]
        if name:
            lines += [first_line(type(section)), ""]
        lines += ["| knob | default | what it sets |", "|---|---|---|"]
        lines += [
            f"| `{knob.name}` | {_default(knob.value)} | {knob.meaning} ({knob.kind}) |"
            for knob in knobs_of(section)
        ]
    return "\n".join([*lines, ""])


def _default(value: Any) -> str:
    return "not set" if value is None else f"`{json.dumps(value)}`"


def _options(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            option, meaning = (" ".join(text.split()) for text in record)
            meaning = meaning.replace("|", "\\|")  # within backticks a bar parts no cells
            yield f"| `{option}` | {meaning} |"
