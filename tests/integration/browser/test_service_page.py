"""The web page of ``gtrans serve``, as a person uses it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gtrans_core.detector.detector import Detector

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(processes, detector_folder, tmp_path_factory) -> Iterator[str]:
    with serving(processes, detector_folder, tmp_path_factory) as url:
        yield url


@contextmanager
def serving(processes, detector_folder, tmp_path_factory) -> Iterator[str]:
    port = processes.free_port()
    command = ["-m", "gtrans.cli.main", "serve", "--model", str(detector_folder)]
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("serve")
    with processes.server(*command, "--port", str(port), folder=folder, health=f"{url}/healthz"):
        yield f"{url}/"


@pytest.fixture
def image(tmp_path, png) -> Path:
    path = tmp_path / "part <7>.png"
    path.write_bytes(png)
    return path


@pytest.fixture
def page(open_page, service):
    page = open_page(service)
    page.wait_for("document.querySelector('#category').value === 'bottle'")
    yield page
    assert page.complaints == []


HAS_RESULT = "!document.querySelector('#result').hidden"
DRAWN = "[...document.images].every(image => image.complete && image.naturalWidth > 0)"


def test_an_image_that_is_dropped_is_scored_and_its_heat_map_drawn(
    page, image, png, detector_folder
):
    page.drop_file("#drop", image)
    page.wait_for(HAS_RESULT)
    page.wait_for(DRAWN)
    [expected] = Detector.load(detector_folder).predict_bytes([png])
    assert expected.is_anomalous
    assert page.text("#verdict").startswith("Flagged")
    assert page.text("#numbers") == f"score {expected.score:.4g}, threshold 0.5"
    assert page.text("#name") == "part <7>.png"
    assert page.text("#model").startswith("unregistered folder, digest ")
    sizes = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert sizes == [90, 64]  # the image as it is, the map as the network sees it


def test_a_file_can_be_chosen_and_chosen_again(page, image):
    for _ in range(2):
        page.set_file("#file", image)
        page.wait_for(HAS_RESULT)
        page.evaluate("document.querySelector('#result').hidden = true")


def test_what_is_no_image_is_told_in_words(page, image, tmp_path):
    page.drop_file("#drop", image)
    page.wait_for(HAS_RESULT)
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    page.drop_file("#drop", text)
    page.wait_for("document.querySelector('#message').innerText.includes('not a PNG, JPEG')")
    assert page.evaluate("document.querySelector('#result').hidden")
    page.complaints.clear()  # the browser's own line about the 422


def test_it_works_from_the_keyboard_and_names_its_fields(page):
    labels = page.evaluate(
        "[...document.querySelectorAll('select, input')].map(e => e.labels[0].innerText.trim())"
    )
    assert labels == ["Category", "Token of this service", "Drop an image here, or choose a file"]
    focus = "document.querySelector('#file').focus(), document.activeElement.id"
    assert page.evaluate(focus) == "file"
    assert page.evaluate("document.querySelector('#answer').ariaLive") == "polite"


def test_it_asks_for_the_token_and_shows_it(
    processes, detector_folder, tmp_path_factory, open_page, image, monkeypatch
):
    monkeypatch.setenv("GTRANS_SERVE_TOKEN", "a token of the tests")
    with serving(processes, detector_folder, tmp_path_factory) as url:
        page = open_page(url)
        page.wait_for("!document.querySelector('#door').hidden")
        assert page.evaluate("document.querySelector('#drop').hidden")
        page.evaluate("document.querySelector('#token').value = 'a token of the tests'")
        page.evaluate("document.querySelector('#door').requestSubmit()")
        page.wait_for("document.querySelector('#category').value === 'bottle'")
        page.drop_file("#drop", image)
        page.wait_for(HAS_RESULT)
        assert page.evaluate("document.querySelector('#door').hidden")
