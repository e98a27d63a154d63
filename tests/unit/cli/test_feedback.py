"""``gtrans feedback``: from a marked table into the store, and out as test images."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans_core.errors import ConfigError, DataError
from gtrans_core.watch.feedback import FeedbackBook
from tests.support.images import photo


def gtrans(store: Path, *arguments: str) -> Result:
    command = ["feedback", "flange", *arguments, "--store", str(store)]
    return CliRunner().invoke(app, command, env={"COLUMNS": "200"})


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, object]]:
    """Three scored images; two are marked."""
    found = []
    for number, truth in enumerate(("good", "", "dent")):
        path = tmp_path / f"shots/{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photo(number))
        found.append(
            {
                "path": str(path),
                "image_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "score": 1.5 if truth == "good" else 0.5,
                "is_anomalous": truth == "good",
                "threshold": 1.0,
                "category": "flange",
                "model_version": 3,
                "model_digest": "d" * 64,
                "truth": truth,
            }
        )
    return found


def write(rows: list[dict[str, object]], path: Path) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_marked_rows_are_kept_listed_and_exported(rows, tmp_path: Path, suffix: str):
    table = write(rows, tmp_path / f"results{suffix}")
    store = tmp_path / "store"
    done = gtrans(store, "--from", str(table))
    assert done.output == "2 of 2 marked images kept\n"
    assert gtrans(store, "--from", str(table)).output.startswith("0 of 2 marked images kept")
    said = FeedbackBook(str(store / "feedback")).read("flange")
    assert [(one.name, one.truth, one.version, one.score) for one in said] == [
        ("0.png", "good", 3, 1.5),
        ("2.png", "dent", 3, 0.5),
    ]
    listed = gtrans(store).output
    assert "images marked: 2, of which the model got 2 wrong" in listed
    assert "1.5 / 1" in listed
    folder = tmp_path / "flange"
    told = gtrans(store, "--to", str(folder)).output
    assert told == f"{folder}: images written below test/: 2, there already: 0\n"
    kept = sorted(path.relative_to(folder).parent.as_posix() for path in folder.rglob("*.png"))
    assert kept == ["test/dent", "test/good"]


def test_nothing_is_kept_unless_it_is_marked(rows, tmp_path: Path):
    table = write([{**row, "truth": ""} for row in rows], tmp_path / "results.csv")
    done = gtrans(tmp_path / "store", "--from", str(table))
    assert isinstance(done.exception, DataError)
    assert "no row is marked" in str(done.exception)
    assert not (tmp_path / "store").exists()
    assert gtrans(tmp_path / "store").output == "no feedback on flange yet\n"


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"category": "hose"}, ConfigError, "its rows are of hose, not of flange"),
        ({"truth": "../up"}, ConfigError, "expected good, or the name of a kind"),
        ({"image_sha256": "0" * 64}, DataError, "changed since it was scored"),
        ({"score": ""}, DataError, "has no score"),
        ({"score": "high"}, DataError, "marked row 1: could not convert"),
        ({"score": [1]}, DataError, "marked row 1: float()"),
        ({"model_version": {}}, DataError, "marked row 1: int()"),
    ],
)
def test_what_does_not_fit_is_told(rows, tmp_path: Path, change, kind, message):
    table = write([{**rows[0], **change}], tmp_path / "results.jsonl")
    done = gtrans(tmp_path / "store", "--from", str(table))
    assert isinstance(done.exception, kind)
    assert message in str(done.exception)


@pytest.mark.parametrize("line", ["7", "[1]", '"x"', "null", "[" * 9999, '{"score": NaN}'])
def test_a_line_that_is_no_row_is_told(tmp_path: Path, line: str):
    (tmp_path / "results.jsonl").write_text(line)
    done = gtrans(tmp_path / "store", "--from", str(tmp_path / "results.jsonl"))
    assert isinstance(done.exception, DataError)


def test_a_name_like_a_formula_survives_the_csv(rows, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(Path(rows[0]["path"]).parent)
    Path(rows[0]["path"]).rename("=1+1.png")
    table = write([{**rows[0], "path": "'=1+1.png"}], tmp_path / "results.csv")
    assert gtrans(tmp_path / "store", "--from", str(table)).output.startswith("1 of 1 marked")


def test_another_place_and_two_verbs_at_once(rows, tmp_path: Path):
    table = write(rows, tmp_path / "results.csv")
    place = tmp_path / "shared"
    gtrans(tmp_path / "store", "--from", str(table), "--place", str(place))
    assert len(FeedbackBook(str(place)).read("flange")) == 2
    assert not (tmp_path / "store").exists()
    both = gtrans(tmp_path / "store", "--from", str(table), "--to", str(tmp_path / "x"))
    assert isinstance(both.exception, ConfigError)


def test_what_the_folder_says_otherwise_is_named(rows, tmp_path: Path):
    table, store, folder = write(rows, tmp_path / "t.csv"), tmp_path / "store", tmp_path / "flange"
    gtrans(store, "--from", str(table))
    (folder / "test/good").mkdir(parents=True)
    (folder / "test/good/7.png").write_bytes(photo(2))
    done = gtrans(store, "--to", str(folder))
    assert done.output == f"{folder}: images written below test/: 1, there already: 0\n"
    assert isinstance(done.exception, DataError)
    assert str(done.exception).splitlines()[1:] == [
        "  test/good/7.png: there as good, marked as dent"
    ]


def test_a_table_that_a_spreadsheet_saved_again_is_read(rows, tmp_path: Path):
    """With a byte order mark, semicolons and decimal commas; a kind may look like a number."""
    rows[2]["truth"] = "007"
    lines = [";".join(rows[0]), *(";".join(map(str, row.values())) for row in rows)]
    text = "\r\n".join(lines).replace("1.5", "1,5").replace("0.5", "0,5")
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig", newline="")
    done = gtrans(tmp_path / "store", "--from", str(tmp_path / "t.csv"))
    assert done.output.startswith("2 of 2 marked images kept"), done.exception
    said = FeedbackBook(str(tmp_path / "store/feedback")).read("flange")
    assert [(one.truth, one.score) for one in said] == [("good", 1.5), ("007", 0.5)]


def test_a_name_that_cannot_be_shown_is_found_by_what_was_shown(rows, tmp_path: Path):
    path = Path(rows[0]["path"])
    path.rename(path.with_name(os.fsdecode(b"a\nb\xdf.png")))
    table = write([{**rows[0], "path": f"{path.parent}/a\\nb\\xdf.png"}], tmp_path / "t.csv")
    done = gtrans(tmp_path / "store", "--from", str(table))
    assert done.output == "1 of 1 marked images kept\n", done.exception
    assert "a\\nb\\xdf.png" in gtrans(tmp_path / "store").output
