"""A number over several seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; one seed has no deviation (``sd`` None)."""

    mean: float
    sd: float | None

    @classmethod
    def over(cls, values: Sequence[float]) -> Spread:
        """The spread of one value a seed, at least one."""
        sd = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), sd)

    def shown(self, digits: int) -> str:
        """``MEAN ± SD`` with ``digits`` digits behind the point; the mean alone for one seed."""
        mean = f"{self.mean:.{digits}f}"
        return mean if self.sd is None else f"{mean} ± {self.sd:.{digits}f}"
