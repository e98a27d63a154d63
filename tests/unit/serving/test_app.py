"""The routes, with a real tiny detector behind them."""

from __future__ import annotations

import base64
import io
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from gtrans.serving.models import ServedModel

PNG = {"Content-Type": "image/png"}


class TestPredict:
    def test_raw_body_is_scored_as_the_detector_scores_it(self, serving, detector, image):
        answer = serving().post("/predict/bottle", content=image, headers=PNG)
        assert answer.status_code == 200
        [expected] = detector.predict_bytes([image])
        assert answer.json() == {
            "image": "image",
            "score": expected.score,  # bit for bit: JSON keeps a float whole
            "is_anomalous": True,
            "threshold": 0.01,
            "category": "bottle",
            "model_version": 1,
            "model_digest": f"{1:064}",
        }

    def test_category_by_query(self, serving, image):
        client = serving()
        answer = client.post("/predict?category=flange", content=image, headers=PNG)
        assert answer.json()["category"] == "flange"
        answer = client.post("/predict", content=image, headers=PNG)
        assert answer.status_code == 404
        assert answer.json() == {"error": "which category?; there is bottle, flange"}

    @pytest.mark.parametrize("kind", ["image/jpeg", "application/octet-stream", "IMAGE/PNG; x=1"])
    def test_content_types_of_raw_bodies(self, serving, image, kind):
        answer = serving().post("/predict/bottle", content=image, headers={"Content-Type": kind})
        assert answer.status_code == 200

    def test_form_with_several_files_in_order_and_bit_equal_to_each_alone(
        self, serving, detector, make_png
    ):
        images = [make_png(seed) for seed in range(3)]
        files = [("file", (f"{i}.png", data, "image/png")) for i, data in enumerate(images)]
        answer = serving().post("/predict/bottle", files=files)
        found = answer.json()["predictions"]
        assert [one["image"] for one in found] == [
            "image 1 (0.png)",
            "image 2 (1.png)",
            "image 3 (2.png)",
        ]
        alone = [detector.predict_bytes([data])[0].score for data in images]
        assert [one["score"] for one in found] == alone
        assert len(set(alone)) == 3

    def test_heat_map_in_the_json(self, serving, image):
        answer = serving().post("/predict/bottle?heat_map=true", content=image, headers=PNG)
        drawn = Image.open(io.BytesIO(base64.b64decode(answer.json()["heat_map_png"])))
        assert (drawn.format, drawn.size) == ("PNG", (64, 64))

    def test_heat_map_as_the_answer(self, serving, image):
        headers = {**PNG, "Accept": "image/png"}
        answer = serving().post("/predict/bottle", content=image, headers=headers)
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).size == (64, 64)
        assert float(answer.headers["x-gtrans-score"]) > 0
        assert answer.headers["x-gtrans-is-anomalous"] == "true"

    def test_layers_lie_over_the_image(self, serving, detector, image):
        answer = serving().post("/predict/bottle?layers=true", content=image, headers=PNG)
        layers = answer.json()["layers"]
        [expected] = detector.predict_bytes([image])
        level = detector.map_level
        assert (layers["width"], layers["height"]) == (90, 80)
        assert (layers["shape"], layers["box"]) == ([64, 64], [0, 0, 1, 1])
        assert layers["unusual"] == level
        assert layers["area_above"] == (expected.heat_map > level).mean()
        assert bool(layers["contour"]) == (layers["area_above"] > 0)
        for name, size in (("view_webp", (64, 64)), ("heat_webp", (64, 64))):
            drawn = Image.open(io.BytesIO(base64.b64decode(layers[name])))
            assert (drawn.format, drawn.size) == ("WEBP", size)

    def test_an_image_that_is_the_body_may_have_a_name(self, serving, image):
        client = serving()
        path = "/predict/bottle?name=line 3/p7.png"
        assert client.post(path, content=image, headers=PNG).json()["image"] == "line 3/p7.png"
        refused = client.post(path, content=b"text", headers=PNG)
        assert refused.json()["error"].startswith("line 3/p7.png: not a PNG, JPEG")
        assert client.post(f"{path}%00", content=image, headers=PNG).status_code == 400

    def test_a_trial_does_not_count_for_drift(self, serving, image):
        seen = []
        client = serving(lambda *facts: seen.append(facts))
        client.post("/predict/bottle?trial=true", content=image, headers=PNG)
        assert seen == []
        client.post("/predict/bottle?trial=false", content=image, headers=PNG)
        assert len(seen) == 1

    def test_observer_sees_each_score_and_cannot_harm(self, serving, image):
        seen = []

        def observe(*facts):
            seen.append(facts)
            raise ValueError("a bug")

        answer = serving(observe).post("/predict/bottle", content=image, headers=PNG)
        assert answer.status_code == 200
        assert seen == [("bottle", 1, f"{1:064}", answer.json()["score"])]


class TestBadInput:
    def test_each_gets_its_status_and_a_json_message(self, serving, image):
        client = serving(max_images=2)
        bomb = io.BytesIO()
        Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
        file = ("a.png", image, "image/png")
        for status, reason, request in [
            (404, "category 'nut' is not served; there is bottle, flange", {"path": "nut"}),
            (415, "content type 'application/json'", {"json": {"image": "aGk="}}),
            (415, "content type 'none'", {"content": image}),
            (400, "image: no image, the body is empty", {"content": b"", "headers": PNG}),
            (422, "image: not a PNG, JPEG", {"content": b"text", "headers": PNG}),
            (422, "image: damaged or cut short", {"content": image[:900], "headers": PNG}),
            (422, "image: too large, at most", {"content": bomb.getvalue(), "headers": PNG}),
            (413, "more than 2 images", {"files": [("f", file)] * 200}),
            (413, "3 images in one request", {"files": [("f", file)] * 3}),
            (
                400,
                "form field 'image': expected a file",
                {"data": {"image": "x"}, "files": [("f", file)]},
            ),
            (422, "image 2 (b.png): not a", {"files": [("f", file), ("f", ("b.png", b"hi"))]}),
            (
                400,
                "not a valid form",
                {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}},
            ),
            (
                400,
                "query.heat_map",
                {"path": "bottle?heat_map=7", "content": image, "headers": PNG},
            ),
        ]:
            answer = client.post(f"/predict/{request.pop('path', 'bottle')}", **request)
            assert answer.status_code == status, (reason, answer.text)
            assert list(answer.json()) == ["error"]
            assert reason in answer.json()["error"]
        assert client.post("/predict/bottle", content=image, headers=PNG).status_code == 200

    def test_body_is_counted_as_it_arrives(self, serving, make_png):
        client = serving(max_request_bytes=4096)
        big = make_png(0)
        assert len(big) > 2 * 4096

        def chunks():  # no Content-Length
            for start in range(0, len(big), 1000):
                yield big[start : start + 1000]

        answer = client.post("/predict/bottle", content=chunks(), headers=PNG)
        assert (answer.status_code, answer.json()) == (
            413,
            {"error": "the body is too large: at most 4,096 bytes"},
        )

    def test_too_much_at_once_is_told_to_come_back(self, serving, image):
        client = serving(max_body_bytes=len(image) - 1)
        answer = client.post("/predict/bottle", content=image, headers=PNG)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        files = [("f", ("a.png", image, "image/png"))] * 3
        answer = serving(queue_size=2).post("/predict/bottle", files=files)
        assert answer.status_code == 413  # no later time is better: the queue never has that room
        assert "expected 1 to 2" in answer.json()["error"]

    def test_wrong_method_and_path_are_json_too(self, serving):
        client = serving()
        assert client.get("/predict/bottle").json() == {"error": "Method Not Allowed"}
        assert client.get("/nothing").json() == {"error": "Not Found"}

    def test_score_that_is_no_number_is_never_a_verdict(self, serving, bottle, image, monkeypatch):
        client = serving()
        monkeypatch.setattr(
            bottle.detector.scorer, "score_view", lambda view: (view[0], float("nan"))
        )
        answer = client.post("/predict/bottle", content=image, headers=PNG)
        assert (answer.status_code, answer.json()) == (
            500,
            {"error": "detector of bottle: the score is nan"},
        )


class TestReload:
    def test_a_new_champion_answers_and_is_shown(self, serving, bottle, image):
        client = serving(poll_seconds=0.05)
        bottle.version = 2
        until(lambda: client.get("/models").json()[0]["model_version"] == 2)
        answer = client.post("/predict/bottle", content=image, headers=PNG)
        assert answer.json()["model_version"] == 2
        text = client.get("/metrics").text
        assert sample(text, "gtrans_reloads_total", category="bottle", outcome="ok") == 1
        shown = re.findall(r'gtrans_model_info\{category="bottle".*version="(\d)"\} 1', text)
        assert shown == ["2"]

    def test_where_it_fails_the_old_one_stays(self, serving, bottle, image, caplog):
        client = serving(poll_seconds=0.05)
        bottle.fault = RuntimeError("registry on fire")
        until(lambda: failed_reloads(client) >= 2)
        assert client.post("/predict/bottle", content=image, headers=PNG).status_code == 200
        assert "bottle: version 1 stays: RuntimeError('registry on fire')" in caplog.text
        assert client.get("/readyz").status_code == 200
        bottle.fault, bottle.version = None, 3
        until(lambda: client.get("/models").json()[0]["model_version"] == 3)

    def test_in_a_crowd_each_image_is_scored_by_the_version_that_its_answer_names(
        self, serving, bottle, another, make_png, monkeypatch
    ):
        detectors = (another, bottle.detector)  # of even versions, of odd ones

        def load() -> ServedModel:
            version = bottle.version
            return ServedModel("bottle", version, "d", detectors[version % 2])

        monkeypatch.setattr(bottle, "load", load)
        client = serving(poll_seconds=0.01, round_size=4)
        encoded = [make_png(seed) for seed in range(4)]
        files = [("file", (f"{i}.png", data, "image/png")) for i, data in enumerate(encoded)]
        alone = [[one.score for one in each.predict_bytes(encoded)] for each in detectors]
        assert alone[0] != alone[1]

        def send(_: int) -> list[dict]:
            bottle.version += 1
            return client.post("/predict/bottle", files=files).json()["predictions"]

        with ThreadPoolExecutor(6) as crowd:
            answers = list(crowd.map(send, range(30)))
        for found in answers:
            [version] = {one["model_version"] for one in found}
            assert [one["score"] for one in found] == alone[version % 2]
            assert {one["threshold"] for one in found} == {detectors[version % 2].info.threshold}
        assert len({found[0]["model_version"] % 2 for found in answers}) == 2
        text = client.get("/metrics").text
        assert sample(text, "gtrans_images_side_by_side_count") == 30 * 4
        assert sample(text, "gtrans_images_side_by_side_bucket", le="1.0") <= 60


class TestOtherRoutes:
    def test_health_and_models(self, serving):
        client = serving()
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
        assert ready.status_code == 200
        told = [{**one, "takes_feedback": False} for one in ready.json()["models"]]
        assert told == client.get("/models").json()
        assert [model["category"] for model in client.get("/models").json()] == ["bottle", "flange"]

    def test_metrics_count_what_happened(self, serving, image):
        client = serving()
        client.post("/predict/bottle", content=image, headers=PNG)
        client.post("/predict/bottle", content=b"text", headers=PNG)
        client.post("/predict/%22%7D%201%0A", content=image, headers=PNG)
        text = client.get("/metrics").text
        assert sample(text, "gtrans_requests_total", category="bottle", status="200") == 1
        assert sample(text, "gtrans_requests_total", category="bottle", status="422") == 1
        assert sample(text, "gtrans_requests_total", category="", status="404") == 1
        assert sample(text, "gtrans_images_total", category="bottle", verdict="flagged") == 1
        assert sample(text, "gtrans_scoring_seconds_count", category="bottle") == 1
        assert sample(text, "gtrans_request_seconds_count", category="bottle") == 2
        assert sample(text, "gtrans_images_side_by_side_bucket", le="1.0") == 2
        assert sample(text, "gtrans_waiting_images") == 0


def sample(text: str, name: str, **labels: str) -> float:
    from prometheus_client.parser import text_string_to_metric_families

    [value] = [
        found.value
        for family in text_string_to_metric_families(text)
        for found in family.samples
        if found.name == name and found.labels == labels
    ]
    return value


def failed_reloads(client) -> float:
    text = client.get("/metrics").text
    return sample(text, "gtrans_reloads_total", category="bottle", outcome="failed")


def until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "path", ["/", "/models", "/healthz", "/readyz", "/metrics", "/openapi.json", "/nothing"]
)
def test_head_is_get_without_a_body(serving, path: str):
    client = serving()
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.content == b""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/predict/flange?category=bottle", "parameter 'category' is in the path"),
        (
            "/predict/flange?heatmap=true",
            "parameter 'heatmap' is not known; there is heat_map",
        ),
        ("/predict?category=flange&x=1", "parameter 'x' is not known"),
        ("/predict?category=flange&category=bottle", "parameter 'category' is given twice"),
    ],
)
def test_a_parameter_that_would_be_passed_over_is_refused(serving, image, path: str, reason: str):
    answer = serving().post(path, content=image, headers=PNG)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]
