"""Two detectors on the same test images: which images they judge differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gtrans_core.evaluation.image_table import ImageResult


@dataclass(frozen=True)
class KindOfImage:
    """How both do on one kind: images that both judged, and how many each gets wrong."""

    kind: str
    images: int
    champion_wrong: int
    challenger_wrong: int


@dataclass(frozen=True)
class ChangedVerdict:
    """One image that the two judge differently; scores in multiples of the own threshold."""

    path: str
    kind: str
    change: str
    is_better: bool
    champion_score: float
    challenger_score: float


@dataclass(frozen=True)
class Contest:
    """A challenger beside the champion.

    Attributes:
        kinds: good images first, then each kind of defect by name.
        changed: what got worse first, then what got better; by path.
        only_one: test images that only one of them was judged on.
    """

    kinds: tuple[KindOfImage, ...]
    changed: tuple[ChangedVerdict, ...]
    only_one: int


def contest(champion: Sequence[ImageResult], challenger: Sequence[ImageResult]) -> Contest:
    """Pair the images by content and kind, whatever they are called, and compare verdicts."""
    theirs = {(row.sha256, row.kind): row for row in champion}
    pairs = [
        (theirs[row.sha256, row.kind], row)
        for row in challenger
        if (row.sha256, row.kind) in theirs
    ]
    ours = {(row.sha256, row.kind) for row in challenger}
    kinds = sorted({row.kind for _, row in pairs}, key=lambda kind: (kind != "good", kind))
    changed = [_changed(old, new) for old, new in pairs if old.verdict != new.verdict]
    return Contest(
        kinds=tuple(_kind(kind, pairs) for kind in kinds),
        changed=tuple(sorted(changed, key=lambda each: (each.is_better, each.path))),
        only_one=len(theirs.keys() ^ ours),
    )


def _kind(kind: str, pairs: Sequence[tuple[ImageResult, ImageResult]]) -> KindOfImage:
    own = [pair for pair in pairs if pair[1].kind == kind]
    return KindOfImage(
        kind=kind,
        images=len(own),
        champion_wrong=sum(old.is_wrong for old, _ in own),
        challenger_wrong=sum(new.is_wrong for _, new in own),
    )


def _changed(old: ImageResult, new: ImageResult) -> ChangedVerdict:
    if new.label == "good":
        change = "now a false alarm" if new.flagged else "no longer a false alarm"
    else:
        change = "now caught" if new.flagged else "now missed"
    return ChangedVerdict(
        path=new.path,
        kind=new.kind,
        change=change,
        is_better=not new.is_wrong,
        champion_score=old.score / old.threshold,
        challenger_score=new.score / new.threshold,
    )
