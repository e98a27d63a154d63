"""How one kind of defect fares. In a file of its own: records are read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean


@dataclass(frozen=True)
class DefectResult:
    """One kind of defect against all good images.

    ``image_auroc`` is None where there is no good image, ``au_pro_30`` where no mask shows it,
    ``au_spro_30`` and ``au_spro_05`` where nobody says how much of a region is enough.
    """

    defect: str
    images: int
    caught: int
    image_auroc: float | None
    au_pro_30: float | None
    au_spro_30: float | None = None
    au_spro_05: float | None = None

    @property
    def saturated(self) -> dict[str, float]:
        """AU-sPRO, by the names of metrics; empty where it is not known."""
        named = {"au_spro_30": self.au_spro_30, "au_spro_05": self.au_spro_05}
        return {name: value for name, value in named.items() if value is not None}


def mean_saturated(results: Sequence[DefectResult]) -> dict[str, float]:
    """AU-sPRO of a split, as published: the mean over its kinds; empty where not known."""
    known = [result.saturated for result in results if result.saturated]
    return {name: mean(one[name] for one in known) for name in (known[0] if known else ())}
