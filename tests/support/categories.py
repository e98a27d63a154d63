"""A small sound category on disk, for tests to read or to spoil."""

from pathlib import Path

from tests.support.images import mask, png


def put(root, name, data):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def sound_category(root: Path) -> Path:
    """Fill a folder: 12 train, 3 good and 2 + 2 defective test images with masks."""
    for i in range(12):
        put(root, f"train/good/{i:03}.png", png(i))
    for i in range(3):
        put(root, f"test/good/{i:03}.png", png(100 + i))
    for defect, base in (("dent", 200), ("scratch", 300)):
        for i in range(2):
            put(root, f"test/{defect}/{i:03}.png", png(base + i))
            put(root, f"ground_truth/{defect}/{i:03}_mask.png", mask())
    return root
