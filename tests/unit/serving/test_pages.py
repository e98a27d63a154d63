"""The pages, what they load, and the report behind a link."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gtrans.serving
from gtrans.serving.gate import Access
from gtrans_core.errors import ModelError

PAGES = Path(gtrans.serving.__file__).with_name("page")
NAMES = sorted(path.name for path in PAGES.iterdir())


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_loads_only_what_this_service_has(serving, path: str):
    client = serving(access=Access(token="a token of tests"))
    page = client.get(path)
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://|style=|<script>|\bon\w+=", page.text)
    loaded = re.findall(r'(?:src|href)="(assets/[^"]+)"', page.text)
    assert len(loaded) >= 3
    for name in loaded:
        assert client.get(f"/{name}").status_code == 200, name


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith((".js", ".css"))])
def test_each_file_is_served_and_names_nothing_from_elsewhere(serving, name: str):
    answer = serving().get(f"/assets/{name}")
    assert answer.status_code == 200
    kind = "text/javascript" if name.endswith(".js") else "text/css"
    assert answer.headers["content-type"].startswith(kind)
    assert not re.search(r"https?://|@import|eval\(|innerHTML", answer.text)
    for imported in re.findall(r'from "\./([^"]+)"', answer.text):
        assert imported in NAMES


@pytest.mark.parametrize("name", ["other.js", "..%2Fapp.py", "%2e%2e/app.py", ".js"])
def test_nothing_else_is_served(serving, name: str):
    assert serving().get(f"/assets/{name}").status_code == 404


class TestReport:
    def test_is_shown_where_it_can_reach_nothing(self, serving, bottle):
        asked = []
        bottle.report = lambda served: asked.append(served.version) or b"<p>of version 1"
        client = serving()
        for _ in range(2):
            answer = client.get("/report/bottle")
            assert (answer.status_code, answer.content) == (200, b"<p>of version 1")
        assert asked == [1]  # fetched once
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts; default-src 'none';")

    def test_where_there_is_none_it_is_said(self, serving, bottle):
        def report(served):
            raise ModelError("bottle: not registered")

        bottle.report = report
        answer = serving().get("/report/bottle")
        assert (answer.status_code, answer.json()) == (
            404,
            {"error": "no report: bottle: not registered"},
        )
        assert serving().get("/report/nut").status_code == 404

    def test_needs_the_token(self, serving):
        client = serving(access=Access(token="a token of tests"))
        assert client.get("/report/bottle").status_code == 401
