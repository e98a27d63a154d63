"""How one kind of defect fares. In a file of its own: records are read without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DefectResult:
    """One kind of defect against all good images.

    ``image_auroc`` is None where there is no good image, ``au_pro_30`` where no mask shows it.
    """

    defect: str
    images: int
    caught: int
    image_auroc: float | None
    au_pro_30: float | None
