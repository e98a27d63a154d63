"""How much of a defect counts as all of it, where a category says so: ``defects_config.json``.

A part may lack a label of which nobody can say where it should be: the whole area where it may go
is its region, and marking a label's worth of it is enough. The file is that of MVTec LOCO AD::

    [{"defect_name": "missing_label", "pixel_value": 255,
      "saturation_threshold": 4000, "relative_saturation": false}]

There, each mask file is one region, and its pixel value says which defect it is. A threshold is
in pixels of the file, or a share of the region where it is relative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from gtrans_core.data.checking import Checked
from gtrans_core.errors import DataError
from gtrans_core.storage.documents import (
    OddDocumentError,
    describe_validation,
    parse_json,
    read_bounded,
)

DEFECTS_CONFIG = "defects_config.json"
_WHAT = "a list of defects as in MVTec LOCO AD"


class DefectSaturation(BaseModel):
    """One defect of the file; other keys are passed over."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    pixel_value: Annotated[int, Field(ge=1, le=65535)]
    """Of its masks."""
    saturation_threshold: Annotated[float, Field(gt=0)]
    relative_saturation: bool

    @model_validator(mode="after")
    def _share_is_one(self) -> DefectSaturation:
        if self.relative_saturation and self.saturation_threshold > 1:
            raise ValueError("a relative saturation_threshold is a share, at most 1")
        return self

    def share(self, area: int) -> float:
        """Share of a region of so many pixels that counts as all of it, in (0, 1]."""
        if self.relative_saturation:
            return self.saturation_threshold
        return min(self.saturation_threshold / max(area, 1), 1.0)


def read_saturations(root: Path) -> Mapping[int, DefectSaturation] | None:
    """What a category's folder says of its defects, by pixel value; None where it says nothing.

    Raises:
        DataError: when the file cannot be read or is not what it should be.
    """
    path = root / DEFECTS_CONFIG
    if not path.is_file():
        return None
    try:
        listed = parse_json(read_bounded(path, _WHAT, DataError))
        defects = TypeAdapter(tuple[DefectSaturation, ...]).validate_python(listed)
    except OddDocumentError as wrong:
        raise DataError(f"{path}: not {_WHAT}: {wrong}") from None
    except ValidationError as wrong:
        raise DataError(f"{path}: not {_WHAT}: {describe_validation(wrong)}") from None
    return {defect.pixel_value: defect for defect in defects}


def saturation_problems(
    saturations: Mapping[int, DefectSaturation] | None, masks: Iterable[Checked]
) -> list[str]:
    """Masks of which the file does not say how much is enough."""
    if saturations is None:
        return []
    return [
        f"{mask.file.name}: marks with the value {mask.value}, which {DEFECTS_CONFIG} does not list"
        for mask in masks
        if mask.coverage and mask.value not in saturations
    ]
