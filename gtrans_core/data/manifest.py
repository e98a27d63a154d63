"""The contract between ingest and every later step: what images there are, by content."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gtrans_core.config import GTransConfig, digest_of
from gtrans_core.config.region import FOREGROUND
from gtrans_core.data.shape import STEP, Shape, shape_for
from gtrans_core.errors import DataError
from gtrans_core.storage import write_atomic
from gtrans_core.storage.documents import Facts, read_json
from gtrans_core.storage.sealed import sealed

GOOD = "good"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Saturation = Annotated[float, Field(gt=0, le=1)]


class MaskFile(Facts):
    """A ground-truth mask: where it is, and its digest."""

    path: str
    sha256: Sha256
    saturation: Saturation | None = None
    """Share of its region that counts as all of it (sPRO); None where nobody says so."""


class Sample(Facts):
    """One image: where it is, what it is, and its digest."""

    path: str
    """Relative to the manifest's root, with forward slashes."""
    sha256: Sha256
    defect: str
    """``good``, or the kind of defect (the folder's name)."""
    width: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    mask: str | None = None
    """Relative path of the ground-truth mask (of its size), for defective images."""
    mask_sha256: Sha256 | None = None
    mask_saturation: Saturation | None = None
    """Of the first mask, as ``MaskFile.saturation``."""
    more_masks: tuple[MaskFile, ...] = ()
    """What else is defective in this image: masks to unite with the first."""

    @property
    def masks(self) -> tuple[MaskFile, ...]:
        """All its masks; none for an image without."""
        if self.mask is None or self.mask_sha256 is None:
            return ()
        first = MaskFile(path=self.mask, sha256=self.mask_sha256, saturation=self.mask_saturation)
        return (first, *self.more_masks)

    @property
    def identity(self) -> list[str | None]:
        """What it is by content: image, label, masks, and how much of each is enough."""
        more = sorted(mask.sha256 for mask in self.more_masks)
        enough = sorted(f"{m.sha256} {m.saturation}" for m in self.masks if m.saturation)
        return [self.sha256, self.defect, self.mask_sha256, *more, *enough]

    @property
    def is_good(self) -> bool:
        """Whether the image shows a good part."""
        return self.defect == GOOD


class Manifest(Facts):
    """One split of one category. ``root`` is a folder or an ``s3://`` prefix."""

    schema_version: Literal[1] = 1
    category: str
    source: str
    split: Literal["train", "test"]
    root: str
    samples: tuple[Sample, ...]
    levels: tuple[int, int] | None = None
    """Grey levels of 16-bit images that become 0 and 255, where ingest had to settle that."""
    region: str | None = None
    """Where parts lie, a packed mask, where the config asks for that (``image.region``)."""

    def settled(self, config: GTransConfig) -> GTransConfig:
        """The config with the size, the grey levels and the region that these images are read by.

        Of a training split: what reads them later, the test split too, reads as they say.

        Raises:
            DataError: when the config asks where parts lie, and these images were not asked.
        """
        image = config.image
        changes: dict[str, object] = {}
        if image.levels is None and self.levels is not None:
            changes["levels"] = self.levels
        if image.size is None:
            changes["size"] = self._size(config)
        if image.region == FOREGROUND:
            if self.region is None:
                raise DataError(
                    f"image.region = {FOREGROUND}, but ingest did not look for it; run it again"
                )
            changes["region"] = self.region
        if not changes:
            return config
        return config.model_copy(update={"image": image.model_copy(update=changes)})

    def _size(self, config: GTransConfig) -> int | Shape:
        """What ``image.size`` is where it is not set; a crop is a square of a square."""
        if config.image.crop is not None or not self.samples:
            return config.image.usual_side
        step = max(STEP, *config.agn.taps)
        shapes = ((s.height, s.width) for s in self.samples)
        height, width = shape_for(shapes, step, config.image.tiles, config.image.overlap)
        return height if height == width else (height, width)

    @property
    def digest(self) -> str:
        """sha256 over contents and labels, not over names: a renamed or copied set is the same."""
        return digest_of([s.identity for s in sorted(self.samples, key=_by_content)])

    @property
    def has_masks(self) -> bool:
        """Whether defective images have masks (those from feedback may not): for pixel metrics."""
        return any(sample.mask is not None for sample in self.samples)

    def counts(self) -> dict[str, int]:
        """Images of each kind, e.g. ``{"good": 20, "scratch": 12}``."""
        return dict(sorted(Counter(s.defect for s in self.samples).items()))

    def in_content_order(self) -> tuple[Sample, ...]:
        """Samples ordered by digest: the order every later step uses, whatever the file names."""
        return tuple(sorted(self.samples, key=_by_content))

    def write(self, path: Path) -> None:
        """Write as JSON.

        Raises:
            StorageError: when the folder is not writable or has no room.
        """
        write_atomic(path, sealed(self.model_dump_json(indent=1)))

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read from JSON.

        Raises:
            DataError: when the file is missing or not a manifest, naming the field.
        """
        return read_json(path, cls, "a manifest", DataError)


def data_digest(train: Manifest, test: Manifest) -> str:
    """The identity of a whole category: both splits, by content."""
    return digest_of({"train": train.digest, "test": test.digest})


def _by_content(sample: Sample) -> tuple[str, str]:
    return (sample.sha256, sample.path)
