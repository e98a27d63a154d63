"""Each command of README.md, CONTRIBUTING.md and docs/ is run, or the page says why not.

The convention: a block of ```bash, ```sh, ```console or ```python is run, page by page and top to
bottom, in one scratch folder, unless the line above it is `<!-- not run: REASON -->`; any other
block names what it is (```text, ```toml, ...) and holds no command.

The folder has what the pages speak of: `my-parts/flange`, `shots`, `part.png`, `part1.png`,
`part2.png`, `detector`, and a store in which flange was trained; port 8080 is a free one. `gtrans
run` is given small images and one epoch on top of its own options; the same one is run once,
however many pages have it. The demo is drawn small, in `small/demo`, with the pictures of flange.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from gtrans_core.data.sources.demo import generate_demo
from infra.stack.ports import free_port
from tests.support import databases, forks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("bash", "sh", "console")
COMMANDS = (*SHELL, "python")
SMALL = [
    "image.size=64",
    "trans.backbone=test_resnet",
    "trans.token_width=16",
    "trans.tokens_per_map=4",
    "training.epochs=1",
    "training.batch_size=8",
    "training.threads=1",
    "training.light_augmentation=off",
    "evaluation.examples_per_defect=1",
    "evaluation.perturbed_images=0",
]

_BLOCK = re.compile(r"(?:^(?P<above>.*)\n)?^```(?P<kind>.*)\n(?P<text>(?:.*\n)*?)^```$", re.M)
_NOT_RUN = re.compile(r"<!-- not run: .+ -->")
_OURS = re.compile(r"^\s*(\$ )?(gtrans|make|mlflow|python3?|pip|kubectl|docker|podman) ", re.M)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    line: int
    kind: str
    text: str
    left_out: bool

    @property
    def fault(self) -> str:
        """What is against the convention; empty if nothing is."""
        if not self.kind:
            return "names no kind"
        if self.kind not in COMMANDS and _OURS.search(self.text):
            return f"is {self.kind} and holds a command"
        return ""

    @property
    def command(self) -> list[str]:
        if self.kind == "python":
            return [sys.executable, "-c", self.text]
        return ["bash", "-euo", "pipefail", "-c", re.sub(r"^\$ ", "", self.text, flags=re.M)]


def blocks_of(page: str) -> list[Block]:
    return [
        Block(
            line=page.count("\n", 0, found.start("kind")) + 1,
            kind=found["kind"].strip(),
            text=found["text"],
            left_out=_NOT_RUN.fullmatch((found["above"] or "").strip()) is not None,
        )
        for found in _BLOCK.finditer(page)
    ]


def runnable(page: Path) -> list[Block]:
    found = blocks_of(page.read_text(encoding="utf-8"))
    return [block for block in found if block.kind in COMMANDS and not block.left_out]


class Scratch:
    """A folder as the pages suppose it, and a `gtrans` for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "gtrans-store"
        self.port = str(free_port())
        (folder / "bin").mkdir()
        self._write_command()
        generate_demo(folder / "my-parts" / "flange", train=96, test_good=10, per_defect=2, size=96)
        generate_demo(folder / "more", train=0, test_good=40, per_defect=0, size=96)
        shutil.copytree(folder / "more" / "test" / "good", folder / "shots")
        shutil.rmtree(folder / "more")
        shutil.copytree(folder / "my-parts" / "flange", folder / "small" / "demo")
        for name in ("part.png", "part1.png", "part2.png"):
            shutil.copy(folder / "shots" / "000.png", folder / name)
        databases.set_up(self.store / "mlflow.db")
        first = self.run(["gtrans", "run", "--category", "flange", "--data", "my-parts"])
        assert first.returncode == 0, first.stdout + first.stderr
        [made] = self.store.glob("runs/*/artifacts/**/detector.json")
        shutil.copytree(made.parent, folder / "detector")

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "GTRANS_"))}
        binaries = [self.folder / "bin", Path(sys.executable).parent]
        return subprocess.run(
            [word.replace("8080", self.port) for word in command],
            cwd=self.folder,
            env={
                **kept,
                "PATH": os.pathsep.join([*map(str, binaries), os.environ["PATH"]]),
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                "GTRANS_STORE": str(self.store),
                "MLFLOW_TRACKING_URI": f"sqlite:///{self.store}/mlflow.db",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def _write_command(self) -> None:
        small = " ".join(f"--set {knob}" for knob in SMALL)
        script = self.folder / "bin" / "gtrans"
        fork = shlex.join(forks.command())
        script.write_text(
            "#!/bin/sh\n"
            f'run() {{ {fork} "$@"; }}\n'
            # Nor a fork, nor a child: a page that stops a service stops what it started.
            f'[ "$1" != serve ] || exec {shlex.quote(sys.executable)} -m gtrans.cli.main "$@"\n'
            f'[ "$1" = run ] || exec {fork} "$@"\n'
            'done="$(dirname "$0")/$(printf "%s\\n" "$@" | sha256sum | cut -c1-64)"\n'
            'case " $* " in *" demo "*) demo="--data small" ;; esac\n'
            f'[ -e "$done" ] || {{ run "$@" {small} $demo && touch "$done"; }}\n'
        )
        script.chmod(0o755)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch(tmp_path_factory.mktemp("docs"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path):
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    faults = [f"{page.name}:{block.line} {block.fault}" for block in blocks if block.fault]
    assert faults == []


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", filter(runnable, PAGES), ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page: Path, scratch: Scratch):
    for block in runnable(page):
        ended = scratch.run(block.command)
        said = f"{page.name}:{block.line}\n{block.text}\n{ended.stdout}\n{ended.stderr}"
        assert ended.returncode == 0, said


PAGE = """
# A page

<!-- not run: needs a moon -->
```sh
gtrans fly
```
text

```bash
gtrans run
```

```
gtrans predict
```

```text
$ gtrans drift x
```
"""


def test_the_convention_itself():
    left_out, run, nameless, hidden = blocks_of(PAGE)
    assert [left_out.left_out, run.left_out] == [True, False]
    assert run.command == ["bash", "-euo", "pipefail", "-c", "gtrans run\n"]
    assert [block.line for block in (left_out, run, nameless, hidden)] == [5, 10, 14, 18]
    assert [left_out.fault, run.fault] == ["", ""]
    assert nameless.fault == "names no kind"
    assert hidden.fault == "is text and holds a command"
