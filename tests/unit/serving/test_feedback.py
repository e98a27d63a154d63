"""Marks from the page: kept with what this service says, within limits, and only where asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from gtrans.serving.feedback import FeedbackDesk
from gtrans.serving.gate import access_for
from gtrans_core.storage.local import LocalStore
from gtrans_core.watch.feedback import FeedbackBook

PNG = {"Content-Type": "image/png"}
ROOM = 2**20


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "feedback")


@pytest.fixture
def desk(place: str) -> Callable[..., FeedbackDesk]:
    return lambda most_bytes=ROOM, a_minute=10: FeedbackDesk(place, most_bytes, a_minute)


def test_a_mark_is_kept_with_the_image_and_what_the_model_says(
    serving, desk, place, detector, image
):
    seen = []
    client = serving(lambda *facts: seen.append(facts), feedback=desk())
    path = "/feedback/bottle?truth=good&name=line 3/p7.png&who=ada"
    answer = client.post(path, content=image, headers=PNG)
    assert answer.status_code == 200, answer.text
    digest = hashlib.sha256(image).hexdigest()
    assert answer.json() == {
        "image": "line 3/p7.png",
        "image_sha256": digest,
        "truth": "good",
        "kept": True,
        "model_was_right": False,
    }
    [said] = FeedbackBook(place).read("bottle")
    [expected] = detector.predict_bytes([image])
    assert (said.score, said.threshold) == (expected.score, 0.01)
    assert (said.version, said.digest) == (1, f"{1:064}")
    assert (said.name, said.who, said.truth) == ("line 3/p7.png", "ada", "good")
    assert FeedbackBook(place).image(said) == image
    assert seen == []  # a mark is no part that came along the line
    text = client.get("/metrics").text
    assert 'gtrans_feedback_total{category="bottle",model="wrong"} 1.0' in text


def test_said_again_it_is_known_and_a_change_of_mind_is_kept(serving, desk, place, image):
    client = serving(feedback=desk())
    kept = [
        client.post(f"/feedback/bottle?truth={truth}", content=image, headers=PNG).json()["kept"]
        for truth in ("good", "good", "dent")
    ]
    assert kept == [True, False, True]
    assert [said.truth for said in FeedbackBook(place).latest("bottle").values()] == ["dent"]


def test_nothing_is_kept_where_nobody_asked_for_it(serving, image):
    client = serving()
    answer = client.post("/feedback/bottle?truth=good", content=image, headers=PNG)
    assert answer.status_code == 404
    assert answer.json()["error"].endswith("start gtrans serve with --feedback")
    assert [one["takes_feedback"] for one in client.get("/models").json()] == [False, False]


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("nut?truth=good", 404, "category 'nut' is not served"),
        ("bottle", 400, "query.truth"),
        ("bottle?truth=../up", 400, "truth '../up': expected good, or the name of a kind"),
        ("bottle?truth=good&name=%1b[2J", 400, "name: expected at most 255 printable"),
        ("bottle?truth=good&who=" + "x" * 65, 400, "who: expected at most 64 printable"),
        ("bottle?truth=good&model_digest=00", 409, "version 1 of bottle answers by now"),
        ("bottle?truth=good&more=1", 400, "parameter 'more' is not known"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(serving, desk, place, image, path, status, reason):
    client = serving(feedback=desk())
    answer = client.post(f"/feedback/{path}", content=image, headers=PNG)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["error"]
    assert FeedbackBook(place).bytes_kept() == 0


def test_an_image_that_is_none_is_named_and_not_kept(serving, desk, place, image):
    client = serving(feedback=desk())
    path = "/feedback/bottle?truth=good&name=notes.txt"
    answer = client.post(path, content=b"hello", headers=PNG)
    assert (answer.status_code, answer.json()["error"].partition(":")[0]) == (422, "notes.txt")
    files = [("f", ("a.png", image, "image/png"))] * 2
    answer = client.post("/feedback/bottle?truth=good", files=files)
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "one image is marked at a time: 2 were sent",
    )
    assert FeedbackBook(place).bytes_kept() == 0


def test_disk_use_is_bounded_and_room_that_is_made_is_seen(serving, desk, place, image, make_png):
    client = serving(feedback=desk(most_bytes=len(image) + 1000))
    other = make_png(5)
    assert client.post("/feedback/bottle?truth=good", content=image, headers=PNG).is_success
    full = client.post("/feedback/bottle?truth=good", content=other, headers=PNG)
    assert full.status_code == 507
    assert "raise --feedback-bytes" in full.json()["error"]
    [kept] = (Path(place) / "bottle" / "images").iterdir()
    assert kept.read_bytes() == image
    kept.unlink()
    assert client.post("/feedback/bottle?truth=good", content=other, headers=PNG).is_success


def test_what_is_kept_is_not_listed_for_each_mark(monkeypatch, serving, desk, place, make_png):
    client = serving(feedback=desk())
    listings = count_listings(monkeypatch)
    for seed in range(5):
        path = "/feedback/bottle?truth=good"
        assert client.post(path, content=make_png(seed), headers=PNG).json()["kept"]
    assert len(listings) == 2  # the bytes, and what was said before
    assert len(FeedbackBook(place).read("bottle")) == 5


def count_listings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes of all listings from now on."""
    listings, listed = [], LocalStore.list

    def counted(store: LocalStore, prefix: str = ""):
        listings.append(prefix)
        return listed(store, prefix)

    monkeypatch.setattr(LocalStore, "list", counted)
    return listings


def test_only_so_many_are_taken_in_a_minute(monkeypatch: pytest.MonkeyPatch, desk):
    moment = [100.0]
    monkeypatch.setattr("gtrans.serving.feedback.time.monotonic", lambda: moment[0])
    narrow = desk(a_minute=2)
    for second in (100.0, 110.0):
        moment[0] = second
        narrow.admit()
    with pytest.raises(HTTPException) as refused:
        narrow.admit()
    assert (refused.value.status_code, refused.value.headers) == (429, {"Retry-After": "50"})
    moment[0] = 160.0
    narrow.admit()


def test_a_place_that_cannot_be_written_is_told(serving, image, tmp_path):
    (tmp_path / "file").write_text("")
    client = serving(feedback=FeedbackDesk(str(tmp_path / "file" / "below"), ROOM, 10))
    path = "/feedback/bottle?truth=good&name=p.png"
    answer = client.post(path, content=image, headers=PNG)
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("p.png: not kept (")


def test_another_site_and_who_has_no_token_mark_nothing(serving, desk, place, image):
    client = serving(feedback=desk(), access=access_for("127.0.0.1", "127.0.0.1"))
    path = "http://localhost/feedback/bottle?truth=good"
    evil = {**PNG, "Origin": "https://evil.example"}
    assert client.post(path, content=image, headers=evil).status_code == 403
    assert FeedbackBook(place).bytes_kept() == 0
