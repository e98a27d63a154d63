"""The model card says what was measured, what is promised, and what is not."""

from __future__ import annotations

import re
from dataclasses import replace

from gtrans_core.release.card import render_card
from gtrans_core.release.facts import Split


def test_it_says_what_was_measured(facts):
    card = render_card(facts)
    for line in (
        "# gtrans-bottle, version 3",
        "Promoted by ada on 2026-01-31T12:00:00+00:00 (champion before: 2).",
        "Reason given: new lamp",
        "| training | 209 | 209 good | mvtec | `aaa` |",
        "| testing | 50 | 30 good, 12 dent | mvtec | `bbb` |",
        "An image is flagged when its score is above **0.5123** (raw score, no unit).",
        "| image_auroc | 0.9700 |",
        "| pixel_auroc | not available |",
        "| dent | 12 | 9 (75 %) | 0.9000 | 0.8000 |",
        "| odd\\|name | 8 | 8 (100 %) | 1.0000 | not available |",
        "Observed on the test split: 3 of 30 good images flagged",
        "gtrans predict IMAGE --model models:/gtrans-bottle/3",
    ):
        assert line in card.splitlines(), card


def test_the_promise_names_its_images_and_its_limits_are_said(facts):
    card = render_card(facts)
    text = " ".join(card.split())
    assert "**at most 5 %** are flagged" in text
    assert "alpha = 0.05 on 42 held-out good images" in text
    assert "- Missed at this threshold: 3 of 12 dent." in card
    assert "- Not available: pixel_auroc" in card
    assert "scored at 256 x 256 pixels" in card
    assert "not signed" not in card


def test_width_comes_before_height(facts):
    config = facts.record.config | {"image.size": [224, 288]}
    record = facts.record.model_copy(update={"config": config})
    assert "scored at 288 x 224 pixels" in render_card(replace(facts, record=record))


def test_an_unsigned_first_champion_without_a_reason(facts):
    approval = replace(facts.approval, why="", previous=None)
    card = render_card(replace(facts, approval=approval, signature=None))
    assert "(champion before: none)" in card
    assert "No reason was given." in card
    assert "The model is **not signed**" in card


def test_what_a_person_wrote_means_nothing_but_itself(facts):
    why = "<script>alert(1)</script>\n# Heading\n[x](http://evil) | `a` **b** &lt; ![i](j)\x1b[0m"
    approval = replace(facts.approval, why=why, who="*ada*")
    card = render_card(replace(facts, approval=approval))
    [line] = [line for line in card.splitlines() if line.startswith("Reason given: ")]
    said = line.removeprefix("Reason given: ")
    assert not re.search(r"(?<!\\)[<>\[\]`*#&|!]", said)
    assert "\x1b" not in card
    assert "Promoted by \\*ada\\* on" in card


def test_so_does_what_somebody_wrote_into_the_registry(facts):
    odd = "<img src=x onerror=alert(1)>\n# [x](http://evil) | `a` **b** metal_nut"
    splits = (Split(odd, odd, odd, {"images": 2, odd: 2}),)
    card = render_card(
        replace(facts, splits=splits, approval=replace(facts.approval, when=odd, who=odd))
    )
    [row] = [line for line in card.splitlines() if "onerror" in line and line.startswith("|")]
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert not re.search(r"(?<!\\)[<>\[\]*#&!]", row)
    assert "metal_nut" in row
    assert "\n# " not in card.partition("\n")[2].partition("## Data")[0]


def test_enough_of_a_defect_has_columns_where_it_is_known(facts):
    dent, odd = facts.record.per_defect
    kinds = (replace(dent, au_spro_30=0.5, au_spro_05=0.4), odd)
    metrics = {"au_spro_30": 0.5, "au_spro_05": 0.4}
    record = facts.record.model_copy(update={"metrics": metrics, "per_defect": kinds})
    lines = render_card(replace(facts, record=record)).splitlines()
    assert "| dent | 12 | 9 (75 %) | 0.9000 | 0.8000 | 0.5000 | 0.4000 |" in lines
    assert any(line.endswith("| not available | not available |") for line in lines)
    assert record.numbers()["defect/dent/au_spro_05"] == 0.4
    assert "AU-sPRO" not in render_card(facts)
