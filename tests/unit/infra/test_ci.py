"""What CI and developers call beside make's own lines."""

import subprocess
import sys
from pathlib import Path

SLOWEST = Path(__file__).parents[3] / ".ci" / "slowest_tests.py"
REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.a" name="test_quick" time="0.1"/>
<testcase classname="tests.unit.a" name="test_slow[x]" time="2.0"/>
<testcase classname="tests.unit.b" name="test_slower" time="2.05"/>
</testsuite></testsuites>"""


def test_the_slowest_tests_and_files_are_listed(tmp_path: Path):
    (tmp_path / "report.xml").write_text(REPORT)
    listed = subprocess.run(
        [sys.executable, SLOWEST, tmp_path / "report.xml"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [line.split("  ")[-1] for line in listed.stdout.splitlines() if line]
    of_tests = [
        "tests.unit.b::test_slower",
        "tests.unit.a::test_slow[x]",
        "tests.unit.a::test_quick",
    ]
    assert names == [*of_tests, "tests.unit.a", "tests.unit.b"]
