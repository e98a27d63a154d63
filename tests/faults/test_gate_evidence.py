"""Fault 18: a version whose evidence is missing, no number, or of other data."""

from __future__ import annotations

import pytest

from gtrans_core.errors import GateError
from gtrans_core.evaluation.gate import Gate
from gtrans_core.tracking.promotion.promotion import promote

GATE = Gate(
    floors={"image_auroc": 0.9},
    minimum_gain={"image_auroc": 0.0},
    maximum_loss_per_defect={"caught": 0.1},
    minimum_test_images=20,
    same_data_as_champion=True,
    as_many_test_images_as_champion=True,
)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"metric.image_auroc": "nan"}, "image_auroc is nan"),
        ({"metric.image_auroc": "inf"}, "image_auroc is inf"),
        ({"metric.image_auroc": "high"}, "image_auroc is nan"),
        ({"metric.defect/dent/caught": "nan"}, "defect/dent/caught is nan"),
        ({"test_images": "79"}, "test images 79: expected at least the champion's 80"),
        ({"test_images": ""}, "test images not known"),
        ({"data_digest": "e" * 64}, "data eeeeeeeeeeee"),
        ({"data_digest": ""}, "data not known"),
    ],
)
def test_it_is_not_promoted_and_the_reason_is_on_the_version(shelf, tags, reason):
    shelf.register("one")
    promote(shelf.client, shelf.category, GATE)
    shelf.register("two", **tags)
    with pytest.raises(GateError, match=reason):
        promote(shelf.client, shelf.category, GATE)
    assert reason in shelf.tags(2)["gtrans.gate.verdict"]
    assert shelf.alias("champion") == 1


def test_a_missing_metric_is_refused(shelf):
    shelf.register("one")
    shelf.client.delete_model_version_tag(shelf.name, "1", "gtrans.metric.image_auroc")
    with pytest.raises(GateError, match="image_auroc not known: expected at least"):
        promote(shelf.client, shelf.category, GATE)
    assert shelf.alias("champion") is None
