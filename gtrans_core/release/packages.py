"""The Python packages that are installed here, with licences; needs the standard library alone.

``python -m gtrans_core.release.packages`` prints them as JSON: that is how a container image, which
may lack what writes an SBOM, says what is in it.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Any, NamedTuple

_CLASSIFIER = "License :: OSI Approved :: "
_LICENCE_LENGTH = 80  # some packages put the whole text there


class Package(NamedTuple):
    """An installed package.

    Attributes:
        name: normalised (PEP 503).
        version: as it states it.
        licence: as it states it; ``""`` where it does not.
    """

    name: str
    version: str
    licence: str


def installed_packages() -> list[Package]:
    """All of this environment, by name."""
    found: dict[str, Package] = {}
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.name or "").lower()
        if name and name not in found:  # of two, Python imports the first
            found[name] = Package(name, package.version, licence_of(package))
    return [found[name] for name in sorted(found)]


def licence_of(package: Distribution) -> str:
    """A package's licence as it states it: expression, classifier or short text; else ``""``."""
    facts: Any = package.metadata  # an email.message.Message
    expression = facts.get("License-Expression")
    if expression:
        return str(expression)
    for classifier in facts.get_all("Classifier") or []:
        if classifier.startswith(_CLASSIFIER):
            return str(classifier).removeprefix(_CLASSIFIER)
    text = str(facts.get("License") or "").strip()
    return text if len(text) <= _LICENCE_LENGTH and "\n" not in text else ""


if __name__ == "__main__":
    json.dump(installed_packages(), sys.stdout)
