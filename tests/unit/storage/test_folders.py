"""A folder is prepared once, whole, by one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gtrans_core.errors import DataError
from gtrans_core.storage import prepare_folder


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def build(folder: Path) -> None:
    folder.mkdir()
    (folder / "file").write_text("content", encoding="utf-8")


def test_built_once(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    assert prepare_folder(folder, build)
    assert not prepare_folder(folder, lambda _: pytest.fail("built again"))
    assert names_in(folder) == ["file"]


@pytest.mark.parametrize("missing", [".data.complete", "data/file"])
def test_interrupted_or_removed_is_built_again(tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "data"
    prepare_folder(folder, build)
    (tmp_path / missing).unlink()
    if missing == "data/file":
        folder.rmdir()
    assert prepare_folder(folder, build)
    assert names_in(folder) == ["file"]


def test_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        build(folder)
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        prepare_folder(tmp_path / "data", fail)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert prepare_folder(tmp_path / "data", build)


def test_killed_builder_lets_go_and_its_work_is_thrown_away(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from gtrans_core.storage import prepare_folder\n"
        "def build(folder):\n"
        "    folder.mkdir(); (folder / 'half').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare_folder(Path(sys.argv[1]), build)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "data")], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "data").exists()
    assert prepare_folder(tmp_path / "data", build)
    assert names_in(tmp_path / "data") == ["file"]


def test_processes_at_once_build_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from gtrans_core.storage import prepare_folder\n"
        "def build(folder):\n"
        "    folder.mkdir(); time.sleep(0.3); (folder / 'file').touch()\n"
        "print(prepare_folder(Path(sys.argv[1]), build))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(builder.communicate()[0].strip() for builder in builders)
    assert said == ["False", "False", "True"]
