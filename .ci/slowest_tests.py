"""Print the slowest tests and files of the last ``make test``, from its JUnit report."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree  # nosec B405 - pytest wrote it here


def main(report: Path) -> int:
    """Twenty tests and ten files, slowest first, with seconds of wall time, set-up included."""
    if not report.is_file():
        sys.stderr.write(f"{report}: missing; run 'make test' first\n")
        return 1
    tests, files = Counter[str](), Counter[str]()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # nosec B314
        seconds, module = float(case.attrib["time"]), case.attrib["classname"]
        tests[f"{module}::{case.attrib['name']}"] += seconds
        files[module] += seconds
    for found, most in ((tests, 20), (files, 10)):
        for name, seconds in found.most_common(most):
            sys.stdout.write(f"{seconds:8.1f} s  {name}\n")
        sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
