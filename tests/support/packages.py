"""Models that bring two files of code along: 250 cost a second wherever they go."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from gtrans_core.tracking.registry import model

KEPT = ("gtrans_core/errors.py", "gtrans_core/detector/detector.py")


def bring_little_code(patch: pytest.MonkeyPatch) -> None:
    """Have models logged from now on with hardly any code; MLflow itself cannot load them."""
    package = model.package

    def with_little_code(detector: Path, example: bytes, destination: Path) -> Any:
        made = package(detector, example, destination)
        whole = (destination / "code").rename(destination / "whole")
        for name in KEPT:
            path = destination / "code" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(whole / name, path)
        shutil.rmtree(whole)
        return made

    patch.setattr(model, "package", with_little_code)
