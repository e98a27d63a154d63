"""What a threshold promises: an expected rate where it is cross-fitted, else a proven one."""

from __future__ import annotations

from typing import Literal

from gtrans_core.detector.thresholds import needed_images
from gtrans_core.storage.documents import Facts


class Promise(Facts):
    """Kept with the detector. Where there is none: at most the wanted rate, on held-out images.

    A cross-fitted rate is not a theorem for the one model that is packaged: it holds as far as that
    model scores a new good image no higher than those that lack a fold. (With all of those in use,
    as in CV+ of Barber et al., "Predictive inference with the jackknife+", 2021, twice the rate
    plus (1 - folds / images) / (folds + 1) would be proven.) What was measured:
    docs/appendix/accuracy.md.
    """

    how: Literal["held_out", "cross_fitted"]
    images: int
    """Good images whose scores the threshold comes from."""
    folds: int | None = None
    """Parts that were left out in turn; None where images were held out."""
    rate: float
    """Largest share of good images that is to be expected above the threshold."""
    wanted: float
    """``evaluation.false_alarm_rate``."""
    needed: int
    """Images without which the wanted rate cannot be promised by any threshold."""

    @property
    def falls_short(self) -> bool:
        """Whether the wanted rate cannot be promised."""
        return self.rate > self.wanted

    @property
    def shortfall(self) -> str:
        """One line for a person; empty where the wanted rate is promised."""
        if not self.falls_short:
            return ""
        return f"{self.images} good images can promise {self.at_best}"

    @property
    def at_best(self) -> str:
        """The end of that line: the rate, and how many images the wanted one needs."""
        return (
            f"a false-alarm rate of {_percent(self.rate)} at best; {_percent(self.wanted)} needs "
            f"{self.needed}: add images"
        )

    @property
    def text(self) -> str:
        """What is promised, and how far it holds, in plain sentences."""
        rate = _percent(self.rate)
        if self.how == "held_out":
            return (
                f"It comes from {self.images} good images that were kept out of training, so that "
                "a further good image of the same kind is flagged with a chance of at most "
                f"{rate}. "
                f"{_sentence(self.shortfall)}"
            ).rstrip()
        return (
            f"It is cross-fitted: each of the {self.images} good images was scored by a model "
            f"fitted without it, in {self.folds} folds, and the detector learnt from all of them. "
            "The chance that a further good image of the same kind is flagged is expected to be "
            f"at most {rate}. "
            "This is not proven: it is right if the detector scores a new good image no higher "
            "than the models of the folds do, which saw fewer images. "
            f"{_sentence(self.shortfall)}"
        ).rstrip()


def promise_of(images: int, rate: float, wanted: float, folds: int | None = None) -> Promise | None:
    """The promise of a threshold; None for the usual one."""
    if folds is None and rate <= wanted:
        return None
    how: Literal["held_out", "cross_fitted"] = "held_out" if folds is None else "cross_fitted"
    return Promise(
        how=how,
        images=images,
        folds=folds,
        rate=rate,
        wanted=wanted,
        needed=needed_images(wanted),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}." if line else ""
