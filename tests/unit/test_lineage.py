from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version

import pytest

from gtrans_core import __version__
from gtrans_core.lineage import UNKNOWN, _checkout_sha, collect_lineage

GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@localhost")


def git(folder, *arguments):
    result = subprocess.run(
        [*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return result.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / "code.py").write_text("one")
    git(tmp_path, "init")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-m", "one")
    return tmp_path


def test_facts_of_this_process(monkeypatch):
    for name in ("GTRANS_GIT_SHA", "GTRANS_IMAGE_DIGEST", "KFP_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    facts = collect_lineage()
    assert facts["python"] == platform.python_version()
    assert facts["package.torch"] == version("torch")
    assert facts["package.gtrans"] == __version__
    assert int(facts["cpus"]) >= 1
    assert "image_digest" not in facts
    assert "kfp_run_id" not in facts
    assert all(isinstance(value, str) and value for value in facts.values())


def test_environment_tells_what_an_image_cannot_know(monkeypatch):
    monkeypatch.setenv("GTRANS_GIT_SHA", "abc")
    monkeypatch.setenv("GTRANS_IMAGE_DIGEST", "sha256:def")
    monkeypatch.setenv("KFP_RUN_ID", "run")
    facts = collect_lineage()
    assert (facts["git_sha"], facts["image_digest"]) == ("abc", "sha256:def")
    assert facts["kfp_run_id"] == "run"


def test_commit_of_the_checkout(checkout):
    sha = git(checkout, "rev-parse", "HEAD")
    assert _checkout_sha(checkout / "code.py") == sha
    git(checkout, "tag", "-a", "v1", "-m", "a tag changes nothing")
    assert _checkout_sha(checkout / "code.py") == sha
    (checkout / "code.py").write_text("two")
    assert _checkout_sha(checkout / "code.py") == f"{sha}-dirty"


def test_a_checkout_around_installed_code_is_not_its_own(checkout):
    installed = checkout / "site-packages"
    installed.mkdir()
    (installed / "code.py").write_text("installed")
    assert _checkout_sha(installed / "code.py") == UNKNOWN


def test_no_git_at_all(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert _checkout_sha(checkout / "code.py") == UNKNOWN
