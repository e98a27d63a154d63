"""The web pages of ``gtrans serve``, as a person uses them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.detector.detector import Detector
from gtrans_core.watch.feedback import FeedbackBook
from tests.support import images

pytestmark = pytest.mark.slow

DONE = """(count => {
  const tiles = [...document.querySelectorAll('#strip .said')];
  return tiles.length === count && tiles.every(tile => tile.innerText !== 'waits');
})"""
NAMES = "[...document.querySelectorAll('#strip button')].map(e => e.children[2].innerText)"
SELECTED = "document.querySelector('#strip [aria-current=true]').children[2].innerText"
DRAWN = """[...document.querySelectorAll('#stage img')]
  .every(image => image.complete && image.naturalWidth > 0)"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Where the service keeps what people mark."""
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def service(processes, detector_folder, tmp_path_factory, kept) -> Iterator[str]:
    options = ("--feedback", "--feedback-place", str(kept))
    with serving(processes, detector_folder, tmp_path_factory, *options) as url:
        yield url


@contextmanager
def serving(processes, detector_folder, tmp_path_factory, *options: str) -> Iterator[str]:
    port = processes.free_port()
    command = ["-m", "gtrans.cli.main", "serve", "--model", str(detector_folder), *options]
    url = f"http://127.0.0.1:{port}"
    folder = tmp_path_factory.mktemp("serve")
    command += ["--port", str(port), "--store", str(folder)]
    with processes.server(*command, folder=folder, health=f"{url}/healthz"):
        yield f"{url}/"


@pytest.fixture
def image(tmp_path, png) -> Path:
    path = tmp_path / "part <7>.png"
    path.write_bytes(png)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three images, one of them below, and what is no image."""
    folder = tmp_path / "line 3"
    for seed, name in enumerate(("p10.png", "p9.png", "below/p1.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.png(seed, size=(120, 60)))
    (folder / "notes.txt").write_text("hello")
    return folder


@pytest.fixture
def page(open_page, service):
    page = open_page(service)
    page.wait_for("document.querySelector('#category').value === 'bottle'")
    yield page
    assert page.complaints == []


def test_an_image_that_is_dropped_is_scored_and_its_heat_map_laid_over_it(
    page, image, png, detector_folder
):
    page.drop_files("#drop", image)
    page.wait_for(f"{DONE}(1) && {DRAWN}")
    [expected] = Detector.load(detector_folder).predict_bytes([png])
    assert expected.is_anomalous
    assert page.text("#verdict").startswith("Flagged")
    assert page.text("#numbers") == f"score {expected.score:.4g}, threshold 0.5"
    assert page.text("#name") == "part <7>.png"
    assert page.text("#model").startswith("unregistered folder, digest ")
    assert page.evaluate("document.querySelector('#report').hidden")  # a folder has none
    frame = "(r => r.width / r.height)(document.querySelector('.frame').getBoundingClientRect())"
    assert page.evaluate(frame) == pytest.approx(90 / 80, abs=0.01)  # as the camera saw it
    page.slide("#opacity", 0.3)
    assert page.evaluate("getComputedStyle(document.querySelector('#heat')).opacity") == "0.3"
    page.evaluate("document.querySelector('#contour').click()")
    assert page.evaluate("getComputedStyle(document.querySelector('#lines')).display") == "none"
    assert page.text("#legend-middle").endswith(": unusual")


def test_a_folder_is_read_to_its_end_in_the_order_of_its_names(page, folder):
    for choose, selector in ((page.drop_files, "#drop"), (page.set_files, "#folder")):
        choose(selector, folder)
        page.wait_for(f"{DONE}(3)")
        names = ["line 3/below/p1.png", "line 3/p9.png", "line 3/p10.png"]
        assert page.evaluate(NAMES) == names
        assert page.text("#message") == "1 file that is no image was left out."
        page.evaluate("document.querySelector('#clear').click()")
        assert page.evaluate(NAMES) == []


def test_a_file_can_be_chosen_and_chosen_again(page, image):
    for count in (1, 2):
        page.set_files("#files", image)
        page.wait_for(f"{DONE}({count})")


def test_what_is_no_image_is_named_and_can_be_filtered(page, image, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    page.set_files("#files", image, text)
    page.wait_for(f"{DONE}(2)")
    page.evaluate("document.querySelector('input[value=failed]').click()")
    assert page.evaluate(NAMES) == ["notes.txt"]
    assert page.text("#message").startswith("notes.txt: not a PNG, JPEG")
    assert page.evaluate("document.querySelector('#stage').hidden")
    page.evaluate("document.querySelector('input[value=flagged]').click()")
    assert page.evaluate(NAMES) == ["part <7>.png"]
    assert page.text("#filter").split() == [
        "Show",
        "all",
        "2",
        "flagged",
        "1",
        "ok",
        "0",
        "failed",
        "1",
    ]
    page.complaints.clear()  # the browser's own line about the 422


def test_a_picture_that_is_pasted_is_scored(page, png):
    page.evaluate(f"""(bytes => {{
      const clipboardData = new DataTransfer();
      const file = new File([new Uint8Array(bytes)], 'image.png', {{type: 'image/png'}});
      clipboardData.items.add(file);
      document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData, bubbles: true}}));
    }})({list(png)})""")
    page.wait_for(f"{DONE}(1)")
    [name] = page.evaluate(NAMES)
    assert name.startswith("pasted-")


def test_a_picture_that_no_browser_shows_is_shown_as_the_network_saw_it(page, tmp_path):
    path = tmp_path / "scan.tif"
    Image.fromarray(np.full((40, 80, 3), 90, np.uint8)).save(path)
    page.set_files("#files", path)
    page.wait_for(f"{DONE}(1) && {DRAWN}")
    frame = "(r => r.width / r.height)(document.querySelector('.frame').getBoundingClientRect())"
    assert page.evaluate(frame) == pytest.approx(2, abs=0.02)


def test_the_strip_is_moved_through_by_keyboard(page, folder):
    page.set_files("#folder", folder)
    page.wait_for(f"{DONE}(3)")
    page.evaluate("document.querySelector('#strip button').focus()")
    for key, code, name in (("ArrowRight", 39, "line 3/p9.png"), ("End", 35, "line 3/p10.png")):
        page.press(key, code)
        assert page.evaluate(SELECTED) == name
        assert page.text("#name") == name
    page.press("ArrowRight", 39)  # there is none: it stays
    assert page.evaluate(SELECTED) == "line 3/p10.png"
    labels = page.evaluate(
        "[...document.querySelectorAll('select, input')].map(e => e.labels[0].innerText.trim())"
    )
    assert all(labels)
    assert page.evaluate("document.querySelector('#message').role") == "status"


def test_all_of_it_is_done_by_keyboard(page, folder, tmp_path, kept):
    """From the file field to the marks: nothing but keys, each control reached by Tab."""
    before = len(FeedbackBook(str(kept)).read("bottle"))
    enter, space = ("Enter", 13, "\r"), (" ", 32, " ")

    def press(key: str, code: int, text: str = "") -> None:
        page.press(key, code, **({"text": text} if text else {}))

    page.intercept_choosers()
    for selector, chosen in (("#files", folder / "p9.png"), ("#folder", folder)):
        page.tab_to(selector)
        press(*space)
        page.wait_for("true")  # reads what the browser told meanwhile
        for _ in range(50):
            if page.choosers:
                break
            page.evaluate("new Promise(done => setTimeout(done, 20))")
        page.choose(chosen)
    page.wait_for(f"{DONE}(4) && {DRAWN}")
    page.tab_to("input[name=filter]")
    press("ArrowRight", 39)
    assert page.evaluate("document.querySelector('input[name=filter]:checked').value") == "flagged"
    press("ArrowLeft", 37)
    page.tab_to("#worst-first")
    press(*space)
    assert page.evaluate("document.querySelector('#worst-first').checked")
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.tab_to("#save")
    press(*enter)
    page.tab_to("#strip button")
    press("End", 35)
    assert page.evaluate(SELECTED) == page.text("#name")
    page.tab_to("#opacity")
    press("Home", 36)
    assert page.evaluate("getComputedStyle(document.querySelector('#heat')).opacity") == "0"
    page.tab_to("#contour")
    press(*space)
    assert page.evaluate("getComputedStyle(document.querySelector('#lines')).display") == "none"
    page.tab_to("#mark-good")
    press(*enter)
    page.wait_for("document.querySelector('#marked').innerText.startsWith('Kept as good')")
    page.tab_to("#kind")
    press(*enter)  # sends the form, as the button does
    page.wait_for("document.querySelector('#marked').innerText.startsWith('Kept as defect')")
    assert len(FeedbackBook(str(kept)).read("bottle")) == before + 2
    page.tab_to("footer a")
    page.tab_to("#category")  # round, and nothing held the focus
    page.tab_to("#clear")
    press(*enter)
    assert page.evaluate("document.activeElement.id") == "files"
    assert (tmp_path / "bottle.csv").exists()


def test_a_name_that_is_long_and_cannot_be_shown_is_scored_all_the_same(page, tmp_path, png):
    path = tmp_path / "a folder" / ("x" * 247 + "\u2028.png")
    path.parent.mkdir()
    path.write_bytes(png)
    page.set_files("#folder", path.parent)
    page.wait_for(f"{DONE}(1) && {DRAWN}")
    assert page.text("#verdict").startswith("Flagged")


def test_what_a_person_says_is_kept_with_the_image(page, image, png, kept):
    page.set_files("#files", image)
    page.wait_for(f"{DONE}(1) && !document.querySelector('#marks').hidden")
    book = FeedbackBook(str(kept))
    before = len(book.read("bottle"))  # nobody said a word yet
    page.evaluate("document.querySelector('#who').value = 'ada'")
    page.evaluate("document.querySelector('#mark-good').click()")
    page.wait_for("document.querySelector('#marked').innerText.startsWith('Kept as good')")
    assert page.text("#marked") == "Kept as good: the model was wrong."
    page.evaluate("document.querySelector('#kind').value = 'Kratzer groß'")
    page.evaluate("document.querySelector('#marks').requestSubmit()")
    page.wait_for("document.querySelector('#marked').innerText.startsWith('Kept as Kratzer groß')")
    said = book.read("bottle")[before:]
    assert [(one.truth, one.who, one.name) for one in said] == [
        ("good", "ada", "part <7>.png"),
        ("Kratzer groß", "ada", "part <7>.png"),
    ]
    assert book.image(said[0]) == png
    assert page.text("#strip .mark") == "marked: Kratzer groß"


def test_results_are_saved_as_a_table_that_computes_nothing(page, png, tmp_path):
    image = tmp_path / "=1+1, part.png"
    image.write_bytes(png)
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.set_files("#files", image)
    page.wait_for(f"{DONE}(1)")
    page.evaluate("document.querySelector('#save').click()")
    saved = tmp_path / "bottle.csv"
    for _ in range(100):
        if saved.exists() and saved.stat().st_size:
            break
        page.evaluate("new Promise(done => setTimeout(done, 50))")
    [row] = csv.DictReader(io.StringIO(saved.read_text()))
    assert row["path"] == "'=1+1, part.png"
    assert (row["is_anomalous"], row["category"]) == ("true", "bottle")
    assert float(row["score"]) > float(row["threshold"]) == 0.5


@pytest.mark.parametrize(
    ("score", "area", "told"),
    [
        (12.0, 0.9, "Score 12 \u00d7 threshold, and most of the picture is unusual: is this"),
        (12.0, 0.1, "Score 12 \u00d7 threshold: is this the right category?"),
        (2.5, 0.6, "Score 2.5 \u00d7 threshold, and most of the picture is unusual: is this"),
        (8.0, 0.1, ""),  # the worst defects of the demo
        (0.9, 0.9, ""),
    ],
)
def test_a_picture_of_another_product_raises_a_doubt(page, score, area, told):
    answer = {"score": score, "threshold": 1, "layers": {"area_above": area}}
    said = page.evaluate(f"import('./assets/stage.js').then(m => m.doubt({json.dumps(answer)}))")
    assert said.startswith(told)
    assert bool(said) == bool(told)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_it_fits_the_window(page, folder, width, theme, tmp_path):
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}]
    )
    page.resize(width, 1300)
    page.set_files("#folder", folder)
    page.wait_for(f"{DONE}(3) && {DRAWN}")
    assert page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(json.loads(f"[{ground[4:-1]}]")) < 300) == (theme == "dark")
    target = Path(os.environ.get("GTRANS_TEST_PICTURES", tmp_path))
    page.screenshot(target / f"serve-page-{width}-{theme}.png")


def test_it_asks_for_the_token_and_shows_it(
    processes, detector_folder, tmp_path_factory, open_page, image, monkeypatch
):
    monkeypatch.setenv("GTRANS_SERVE_TOKEN", "a token of the tests")
    with serving(processes, detector_folder, tmp_path_factory) as url:
        for address, ready in ((url, "#desk:not([hidden])"), (f"{url}docs", "details")):
            page = open_page(address)
            page.wait_for("!document.querySelector('#door').hidden")
            assert page.evaluate(f"document.querySelector('{ready}') === null")
            page.evaluate("document.querySelector('#token').value = 'a token of the tests'")
            page.evaluate("document.querySelector('#door').requestSubmit()")
            page.wait_for(f"document.querySelector('{ready}') !== null")
            assert page.evaluate("document.querySelector('#door').hidden")
        page = open_page(url)
        page.evaluate("document.querySelector('#token').value = 'a token of the tests'")
        page.evaluate("document.querySelector('#door').requestSubmit()")
        page.wait_for("!document.querySelector('#desk').hidden")
        page.drop_files("#drop", image)
        page.wait_for(f"{DONE}(1) && {DRAWN}")
        assert page.evaluate("document.querySelector('#marks').hidden")  # nobody asked for it


def test_the_interface_is_tried_without_anything_from_elsewhere(open_page, service, image):
    page = open_page(f"{service}docs")
    page.wait_for("document.querySelectorAll('details').length >= 7")
    assert page.text("summary").startswith("POST /predict/{category} Score the image")
    page.evaluate("document.querySelector('details').open = true")
    page.evaluate("document.querySelector('details input[name=category]').value = 'bottle'")
    page.set_files("details input[type=file]", image)
    page.evaluate("document.querySelector('details form').requestSubmit()")
    page.wait_for("document.querySelector('details pre').innerText.includes('is_anomalous')")
    assert page.text("details pre").startswith("200 OK, application/json")
    assert page.complaints == []
