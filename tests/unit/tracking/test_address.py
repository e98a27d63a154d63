"""Addresses of MLflow that cannot work are told from those that can, without asking anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans_core.tracking.address import address_problem


@pytest.mark.parametrize(
    "uri",
    [
        "http://mlflow:5000",
        "http://mlflow:5000/",
        "https://mlflow.plant/prefix",
        "http://[::1]:5000",
        "http://127.0.0.1",
        "sqlite:////srv/gtrans/mlflow.db",
        "sqlite:////srv/grün und blau/mlflow.db",
        "sqlite:///mlflow.db",
        "sqlite:////srv/50%/mlflow.db",
    ],
)
def test_what_can_work(uri: str) -> None:
    assert address_problem(uri) == ""


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("localhost:5000", "lacks http:// or https://"),
        ("localhost:5000/", "lacks http:// or https://"),
        ("mlflow.plant:80/x", "lacks http:// or https://"),
        ("./mlruns", "is a folder"),
        ("/srv/mlruns", "is a folder"),
        ("~/mlruns", "is a folder"),
        ("file:///srv/mlruns", "is a folder"),
        ("file:mlruns", "is a folder"),
        ("http:/mlflow", "lacks '//'"),
        ("http:mlflow:5000", "lacks '//'"),
        ("http://", "names no host"),
        ("http://:5000", "names no host"),
        ("http://mlflow:abc", "names no host"),
        ("http://mlflow:99999", "names no host"),
        ("http://[::1", "names no host"),
        ("http://..", "names no host"),
        ("http://mlflow:5000/#/experiments/1", "take only what comes before"),
        ("http://mlflow:5000/?token=CANARY", "take only what comes before"),
        ("HTTP://mlflow", "of a kind that cannot be used"),
        ("ftp://mlflow", "of a kind that cannot be used"),
        ("s3://bucket", "of a kind that cannot be used"),
        ("postgresql+nosuchdriver://db/mlflow", "needs the Python package of nosuchdriver"),
        ("postgresql://", "names no database"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:////srv/x.db?mode=ro", "reads as something else"),
        (" http://mlflow", "remove it"),
        ("http://mlflow ", "remove it"),
        ("http://mlflow\n", "remove it"),
        ("http://ml flow", "remove it"),
        ("   ", "remove it"),
    ],
)
def test_what_cannot(uri: str, says: str) -> None:
    problem = address_problem(uri)
    assert says in problem
    assert "CANARY" not in problem
    assert "\n" not in problem


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    assert "names a folder" in address_problem(f"sqlite:///{tmp_path}")
