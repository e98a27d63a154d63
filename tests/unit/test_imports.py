"""Imports run one way, and each outside library has one home (.importlinter)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]


def test_the_contracts_hold():
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_a_broken_contract_would_be_seen(tmp_path: Path):
    for package in ("gtrans", "gtrans_core"):
        copy_sources(ROOT / package, tmp_path / package)
    (tmp_path / ".importlinter").write_text((ROOT / ".importlinter").read_text())
    with (tmp_path / "gtrans_core" / "errors.py").open("a") as file:
        file.write("\nimport kfp\nimport mlflow\nimport gtrans_core.training.loop\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    for broken in ("Imports run one way", "Only tracking talks", "The core knows neither"):
        assert any(broken in line and "BROKEN" in line for line in result.stdout.splitlines())


def copy_sources(source: Path, target: Path) -> None:
    """Links are followed: ``gtrans/pipelines`` is one."""
    for folder, _, names in os.walk(source, followlinks=True):
        copy = target / Path(folder).relative_to(source)
        copy.mkdir(parents=True)
        for name in names:
            if name.endswith(".py"):
                shutil.copyfile(Path(folder) / name, copy / name)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LINT, "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
