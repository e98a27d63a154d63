"""Images to measure with: the demo's fabric, as many as wanted."""

from __future__ import annotations

from pathlib import Path

from gtrans_core.data.layout import scan_category
from gtrans_core.data.manifest import Manifest
from gtrans_core.data.sources.demo import generate_demo


def good_images(store: Path, count: int) -> Manifest:
    """The manifest of ``count`` good training images; drawn only where they are not yet."""
    folder = store / f"images-{count}"
    if not (folder / "done").is_file():
        generate_demo(folder / "demo", train=count, test_good=1, per_defect=1)
        (folder / "done").touch()
    train, _ = scan_category(folder / "demo", "demo", str(folder))
    return train
