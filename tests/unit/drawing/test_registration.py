"""What a report says once its detector is registered."""

from gtrans_core.detector.model_name import VERSION_NOTE
from gtrans_core.drawing.registration import MARKER, Registration, with_registration
from gtrans_core.evaluation.contest import contest
from tests.support.evaluations import image_result

OLD = [image_result(path="test/dent/<b>.png", score=0.8), image_result(kind="good", score=0.5)]
NEW = [image_result(path="test/dent/<b>.png", score=1.2), image_result(kind="good", score=0.5)]
FACTS = {
    "version": 3,
    "alias": "challenger",
    "gate": "passed (compared with version 2)",
    "champion": 2,
}
PAGE = f"<main>{MARKER}</main>"


def test_it_names_the_version_and_what_changed_against_the_champion():
    registration = Registration(**FACTS, contest=contest(OLD, NEW), changed=3)
    page = with_registration(PAGE, registration)
    assert (
        "Version <b>3</b>, alias <b>challenger</b>. Gate: passed (compared with version 2)." in page
    )
    assert "test/dent/&lt;b&gt;.png: <b>now caught</b> (0.8 \u2192 1.2 \u00d7 threshold)" in page
    assert "3 images changed their verdict" in page
    assert "and 2 more" in page
    assert MARKER not in page


def test_without_a_champion_there_is_nothing_to_hold_it_against():
    page = with_registration(PAGE, Registration(**FACTS | {"champion": None}, contest=None))
    assert "Against the champion" not in page


def test_commands_that_wait_for_its_number_get_it():
    page = f"{PAGE}<p>Seconds.{VERSION_NOTE}</p><code>recalibrate part --version VERSION</code>"
    made = with_registration(page, Registration(**FACTS, contest=None))
    assert made.endswith("<p>Seconds.</p><code>recalibrate part --version 3</code>")


def test_it_is_handed_on_as_json():
    registration = Registration(**FACTS, contest=contest(OLD, NEW))
    handed_on = Registration.model_validate(registration.model_dump(mode="json"))
    assert handed_on == registration


def test_a_report_of_an_earlier_version_stays_as_it_is():
    assert (
        with_registration("<main></main>", Registration(**FACTS, contest=None)) == "<main></main>"
    )
