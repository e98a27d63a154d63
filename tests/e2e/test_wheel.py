"""The wheel: two names and no more, every data file, at work beside a user's own packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import gtrans_core
from tests.support.detectors import save_with_graph
from tests.support.images import png
from tests.support.runs import FAST, write_part
from tests.support.tiny import TINY, tiny_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKOUT = Path(gtrans_core.__file__).parents[1]
PACKAGES = ("gtrans", "gtrans_core")
SOURCES = (*PACKAGES, "components", "pipelines", "pyproject.toml", "README.md", "LICENSE")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")
HOSTILE = "raise RuntimeError('the user\\'s own package was imported')\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """A copy of what is packed, since a build leaves files behind."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, folder / name, symlinks=True, ignore=LEFT_OUT)
        else:
            shutil.copyfile(CHECKOUT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A new virtual environment with the wheel; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/python", "-m", "pip", "install", "--no-index", "--no-deps", "-q", wheel)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    dependencies = Path(paths["purelib"]) / "dependencies.pth"
    # A path in a .pth file is searched; that folder's own .pth files, the checkout's, are not read.
    dependencies.write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def build(kind: str, source: Path, destination: Path) -> Path:
    """Ask setuptools, as pip and uv do, but with what is installed here: nothing is fetched."""
    code = f"import sys; from setuptools.build_meta import build_{kind} as b; b(sys.argv[1])"
    run(sys.executable, "-c", code, destination, cwd=source)
    [built] = destination.iterdir()
    return built


def run(*command: object, **options: object) -> str:
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_installs_two_top_level_names(wheel):
    tops = {name.partition("/")[0] for name in names_in(wheel)}
    assert tops == {*PACKAGES, "gtrans-0.2.0.dist-info"}


def test_holds_every_file_of_the_packages(source, wheel):
    """Code and what it reads: profiles, categories, compiled pipelines, templates, presets."""
    files = {
        (Path(folder) / name).relative_to(source).as_posix()
        for package in PACKAGES
        for folder, _, names in os.walk(source / package, followlinks=True)
        for name in names
    }
    assert files <= names_in(wheel)


def test_a_source_distribution_makes_the_same_wheel(source, wheel, tmp_path):
    for name in ("sdist", "wheel"):
        (tmp_path / name).mkdir()
    with tarfile.open(build("sdist", source, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    [unpacked] = (tmp_path / "unpacked").iterdir()
    assert not [path for path in unpacked.rglob("*") if path.is_symlink()]
    again = build("wheel", unpacked, tmp_path / "wheel")
    assert names_in(again) == names_in(wheel)


def test_runs_beside_packages_of_the_same_names(environment, tmp_path):
    for name in ("pipelines", "components"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(HOSTILE)
    write_part(tmp_path)
    data = ["--data", tmp_path / "data", "--store", tmp_path / "store"]
    knobs = [argument for knob in (*TINY, *FAST) for argument in ("--set", knob)]
    run(
        *(environment / "bin/gtrans", "run", "--category", "part", *data, *knobs),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    code = "import gtrans, gtrans_core; print(gtrans.__file__, gtrans_core.__file__, sep='\\n')"
    for file in run(environment / "bin/python", "-c", code, cwd=tmp_path).splitlines():
        assert Path(file).is_relative_to(environment)


def test_a_line_pc_installs_what_scores_in_under_700_megabytes(wheel, tmp_path):
    """Without torch and kfp, at the versions of the lock."""
    uv = CHECKOUT / ".tools/bin/uv"
    if os.environ.get("GTRANS_TEST_INSTALL") != "1" or not uv.exists():
        pytest.skip("GTRANS_TEST_INSTALL=1 installs a second environment (with uv)")
    line = tmp_path / "line"
    run(uv, "venv", "--python", sys.executable, line)
    locked = ["--constraints", CHECKOUT / "requirements.lock", f"{wheel}[serve]"]
    run(uv, "pip", "install", "--python", line / "bin/python", "--compile-bytecode", *locked)
    installed = run(uv, "pip", "freeze", "--python", line / "bin/python").splitlines()
    assert not {"torch", "kfp", "scipy", "mlflow"} & {row.partition("==")[0] for row in installed}
    sizes = {path.stat().st_ino: path.stat().st_size for path in line.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 700e6
    save_with_graph(tmp_path / "detector", tiny_config("scoring.scene_share=0"))
    (tmp_path / "part.png").write_bytes(png(0, (90, 80)))
    arguments = ["part.png", "--model", "detector", "--no-watch", "--store", "store"]
    assert "part.png" in run(line / "bin/gtrans", "predict", *arguments, cwd=tmp_path)
