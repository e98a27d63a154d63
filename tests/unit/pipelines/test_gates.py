"""Gates: the default, what a category changes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans.pipelines import gates
from gtrans.pipelines.gates import load_gate
from gtrans_core.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped thresholds, to add to."""
    text = (gates._FOLDER / "default.toml").read_text()
    (tmp_path / "default.toml").write_text(text)
    monkeypatch.setattr(gates, "_FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", sorted(gates._FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_a_gate(path: Path):
    load_gate(path.stem)


def test_the_default_is_for_every_category():
    gate = load_gate("anything")
    assert gate == load_gate()
    assert gate.same_data_as_champion
    assert gate.minimum_gain == {"image_auroc": 0.0}


def test_a_category_changes_single_keys(folder: Path):
    (folder / "mono.toml").write_text("[floors]\nimage_auroc = 0.7\nimage_ap = 0.5")
    gate, default = load_gate("mono"), load_gate("poly")
    assert gate.floors == {"image_auroc": 0.7, "image_ap": 0.5}
    assert gate.model_copy(update={"floors": default.floors}) == default


def test_the_callers_file_wins(folder: Path, tmp_path: Path):
    (folder / "mono.toml").write_text("minimum_test_images = 50\n[floors]\nimage_auroc = 0.7")
    mine = tmp_path / "mine"
    mine.write_text("minimum_test_images = 5")
    gate = load_gate("mono", mine)
    assert (gate.minimum_test_images, gate.floors["image_auroc"]) == (5, 0.7)


def test_a_category_never_leads_out_of_the_folder(folder: Path):
    (folder.parent / "outside.toml").write_text("minimum_test_images = 1")
    assert load_gate("../outside") == load_gate()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("floor = 1", r"mine: unknown key 'floor'; a gate has floors, "),
        ("floors = 1", r"mine: floors: Input should be a valid dictionary"),
        ("[floors]\nimage_aurok = 1", r"mine: floors\.image_aurok.*is not a metric"),
        ("floors =", r"mine: not valid TOML"),
    ],
)
def test_a_mistake_names_the_file(tmp_path: Path, text: str, message: str):
    (tmp_path / "mine").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_gate("bottle", tmp_path / "mine")


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot be read .*; expected a gate"):
        load_gate("bottle", tmp_path / "none.toml")
