"""docs/appendix/reliability.md: every fault has its row, every test that the page names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "appendix" / "reliability.md"
FAULTS = range(1, 26)


def rows() -> dict[int, str]:
    """The last cell of each row of the table, by number."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| \d+ \|", line):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert len(cells) == 4, line
            found[int(cells[0])] = cells[-1]
    return found


def names_in(path: Path) -> set[str]:
    """Tests of a file: functions, and methods as ``Class::method``."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef))
            names |= {f"{node.name}::{method.name}" for method in methods}
    return {name for name in names if re.search(r"(^|::)test_", name)}


def test_every_fault_has_a_row_with_a_test() -> None:
    assert list(rows()) == list(FAULTS)
    assert all(re.search(r"`tests/\S+\.py(::\S+)?`", tests) for tests in rows().values())


def test_every_test_that_is_named_exists() -> None:
    named = re.findall(r"`(tests/[^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) >= len(FAULTS)
    for name in named:
        path, _, test = name.partition("::")
        assert (CHECKOUT / path).is_file(), name
        assert not test or test in names_in(CHECKOUT / path), name


def test_every_file_of_faults_is_on_the_page() -> None:
    files = {path.relative_to(CHECKOUT).as_posix() for path in Path(__file__).parent.glob("test_*")}
    text = PAGE.read_text(encoding="utf-8")
    assert {name for name in files if name not in text} <= {"tests/faults/test_reliability_page.py"}
