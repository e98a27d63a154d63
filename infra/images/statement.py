"""``python infra/images/statement.py IMAGE FOLDER``: the SBOM of a built image, and its provenance.

Called by ``make image-statement``. ``GTRANS_SIGNING_KEY`` signs both; ``gtrans verify FOLDER``
reads them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from gtrans_core.errors import ConfigError, GTransError
from gtrans_core.release import packages
from gtrans_core.release.image import ImageFacts, image_facts, write_image_statement
from gtrans_core.release.packages import Package
from gtrans_core.release.sbom import make_image_sbom
from gtrans_core.storage.documents import OddDocumentError, parse_json
from gtrans_core.trust.keys import SIGNING_KEY, SigningKey


def main(name: str, folder: Path) -> None:
    """Write the folder.

    Raises:
        GTransError: without podman and docker, for an image that is not there or is not ours, and
            when the folder or the key cannot be used.
    """
    engine = shutil.which("podman") or shutil.which("docker")
    if engine is None:
        raise ConfigError("neither podman nor docker is installed: apt-get install podman")
    try:
        [inspected] = parse_json(_answer(engine, "image", "inspect", name))
    except (OddDocumentError, ValueError, TypeError) as wrong:
        raise ConfigError(f"{name}: {engine} does not describe it ({wrong})") from None
    facts = image_facts(name, inspected)
    key = SigningKey.from_environment()
    write_image_statement(facts, _sbom(engine, name, facts), folder, key)
    signed = f"signed with {key.path}" if key else f"not signed: {SIGNING_KEY} names no key"
    sys.stdout.write(f"{folder}: of {facts.name}, sha256 {facts.digest}; {signed}\n")


def _sbom(engine: str, name: str, facts: ImageFacts) -> str:
    # Without network and rights, which this does not need; the limits as in the image's tests.
    closed = ["--rm", "--no-healthcheck", "--network=none", "--read-only", "--cap-drop=all"]
    closed += ["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]
    said = _answer(engine, "run", *closed, name, "python3", "-m", packages.__name__)
    try:
        found = [Package(*map(str, package)) for package in parse_json(said)]
    except (OddDocumentError, TypeError) as wrong:
        raise ConfigError(f"{name}: does not list its packages ({wrong})") from None
    if not found:
        raise ConfigError(f"{name}: lists no packages")
    return make_image_sbom(facts.name, facts.digest, facts.created, found)


def _answer(engine: str, *arguments: str) -> str:
    ended = subprocess.run(  # noqa: S603  # nosec B603 - podman or docker, by name
        [engine, *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        reason = ended.stderr.strip().splitlines() or ["no reason given"]
        raise ConfigError(f"{Path(engine).name} {' '.join(arguments[:2])}: {reason[-1]}")
    return ended.stdout


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]))
    except GTransError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
