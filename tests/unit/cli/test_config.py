"""``gtrans config``: a complete, commented file that reads back as the defaults."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gtrans.cli.main import app
from gtrans_core.config import GTransConfig, flatten, load_config


@pytest.fixture(scope="module")
def printed() -> str:
    result = CliRunner().invoke(app, ["config"])
    assert result.exit_code == 0
    return result.output


def test_it_reads_back_as_the_defaults(printed: str, tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(printed)
    assert load_config(path) == GTransConfig()


def test_a_preset_reads_back_as_itself(tmp_path: Path):
    result = CliRunner().invoke(app, ["config", "--config", "paper-resnet18"])
    path = tmp_path / "mine.toml"
    path.write_text(result.output)
    assert load_config(path) == load_config(Path("paper-resnet18")) != GTransConfig()


def test_it_names_every_knob_with_a_meaning_and_a_type(printed: str):
    knob = r"^((?:# .+\n)+?)(?:# )?(\w+) (?:=|is not set$)"
    described = re.findall(knob, printed, re.M)
    assert sorted(name for _, name in described) == sorted(
        key.rpartition(".")[2] for key in flatten(GTransConfig())
    )
    assert all(re.fullmatch(r"(?s)# .{10,} \[[^\n]+\]\n", comment) for comment, _ in described)


def test_its_comments_fit_a_terminal(printed: str):
    assert max(map(len, printed.splitlines())) <= 100


@pytest.mark.parametrize(
    ("knob", "kind"),
    [
        ("seed = 0", "int"),
        ("taps = [8, 16, 32]", "list of 3 int"),
        ("crop is not set", "int or none"),
        ('fusion = "geometric"', "geometric or product or sum"),
        ("layer_norm = true", "bool"),
        ("learning_rate = 0.01", "float"),
    ],
)
def test_types_are_said_as_people_say_them(printed: str, knob: str, kind: str):
    lines = printed.splitlines()
    place = next(i for i, line in enumerate(lines) if line.removeprefix("# ") == knob)
    assert lines[place - 1].endswith(f"[{kind}]")
