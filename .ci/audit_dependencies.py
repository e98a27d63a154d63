"""Known holes in the locked dependencies; a line, and no failure, where no database answers."""

import json
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main() -> None:
    """Exit code 1 for a known hole; 0 for none, and where nothing could be looked up."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)  # noqa: S603 (fixed arguments)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):  # it ends with a traceback where it reaches nobody
        found = []
    audited = [package for package in found if "vulns" in package]
    if not audited:
        sys.stdout.write("pip-audit: skipped, its database cannot be reached from here\n")
        return
    holes = [(package, hole) for package in audited for hole in package["vulns"]]
    for package, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        name = f"{package['name']} {package['version']}"
        sys.stdout.write(f"{name}: {hole['id']}, fixed in {fixed}\n")
    sys.stdout.write(f"pip-audit: {len(audited)} packages, {len(holes)} known holes\n")
    sys.exit(1 if holes else 0)


if __name__ == "__main__":
    main()
