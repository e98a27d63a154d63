"""Two detectors on the same images: what is counted, and which images are named."""

from gtrans_core.evaluation.contest import contest
from tests.support.evaluations import image_result


def row(number: int, kind: str, score: float, **facts: object):
    return image_result(
        kind=kind, score=score, path=f"test/{kind}/{number}.png", sha256=f"{number:064x}", **facts
    )


CHAMPION = [row(1, "dent", 0.8), row(2, "dent", 1.5), row(3, "good", 1.2), row(4, "good", 0.2)]


def test_each_kind_is_counted_and_each_change_named_the_worse_first():
    challenger = [row(1, "dent", 1.1), row(2, "dent", 0.9), row(3, "good", 0.5), row(4, "good", 2)]
    found = contest(CHAMPION, challenger)
    assert [(k.kind, k.images, k.champion_wrong, k.challenger_wrong) for k in found.kinds] == [
        ("good", 2, 1, 1),
        ("dent", 2, 1, 1),
    ]
    assert [(c.path, c.change, c.is_better) for c in found.changed] == [
        ("test/dent/2.png", "now missed", False),
        ("test/good/4.png", "now a false alarm", False),
        ("test/dent/1.png", "now caught", True),
        ("test/good/3.png", "no longer a false alarm", True),
    ]
    assert found.only_one == 0


def test_an_image_that_was_renamed_is_the_same_image():
    [renamed] = contest(CHAMPION[:1], [row(1, "dent", 2.0, threshold=0.5)]).changed
    assert (renamed.champion_score, renamed.challenger_score) == (0.8, 4.0)


def test_images_of_only_one_are_counted_and_not_compared():
    found = contest(CHAMPION, [row(4, "good", 0.1), row(5, "good", 0.1)])
    assert (found.only_one, [k.images for k in found.kinds], found.changed) == (4, [1], ())
