"""Who is answered: own host names, own pages, and who shows the token."""

from __future__ import annotations

import pytest

from gtrans.serving.gate import WITHOUT_TOKEN, Access, access_for
from gtrans_core.errors import ConfigError

PNG = {"Content-Type": "image/png"}
TOKEN = "a token of tests"
LOOPBACK = access_for("127.0.0.1", "127.0.0.1")


@pytest.fixture
def seen() -> list[tuple]:
    return []


@pytest.fixture
def local(serving, seen):
    """A client of a service on loopback; ``seen`` has what counts for drift."""
    return serving(lambda *facts: seen.append(facts), access=LOOPBACK)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8080"],
)
def test_own_names_are_answered_at_any_port(local, host):
    assert local.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io:8080",
        "evil.example@localhost",
        "localhost/",
        "localhost:80:80",
        "[::1",
        "10.0.0.1",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/models", "/metrics", "/"])
def test_other_names_are_not_since_a_web_page_could_have_pointed_them_here(local, host, path):
    answer = local.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    "sent",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Sec-Fetch-Site": ""},
    ],
)
@pytest.mark.parametrize("path", ["/predict/bottle", "/predict?category=bottle", "/nothing"])
def test_another_sites_page_may_not_post_and_is_never_counted(local, image, seen, sent, path):
    answer = local.post(path, content=image, headers={**PNG, "Host": "localhost", **sent})
    assert answer.status_code == 403
    assert seen == []
    assert "gtrans_images_total{" not in local.get("/metrics", headers={"Host": "localhost"}).text


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Origin": "http://localhost:8080"},
        {"Origin": "https://LOCALHOST:8080"},
        {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"},
        # Behind a proxy that asks by another name.
        {"Origin": "https://gtrans.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_the_services_own_page_and_programs_may(local, image, seen, sent):
    headers = {**PNG, "Host": "localhost:8080", **sent}
    assert local.post("/predict/bottle", content=image, headers=headers).status_code == 200
    assert len(seen) == 1


def test_beyond_loopback_every_name_is_answered_but_no_foreign_page(serving, image):
    client = serving(access=Access())
    assert client.get("/models", headers={"Host": "10.1.2.3:8080"}).status_code == 200
    headers = {**PNG, "Origin": "https://evil.example"}
    assert client.post("/predict/bottle", content=image, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"},
        {"Authorization": b"Bearer \xff"},
        {"X-Authorization": f"Bearer {TOKEN}"},
    ],
)
def test_without_the_token_nothing_is_told_or_scored(serving, seen, image, shown):
    client = serving(lambda *facts: seen.append(facts), access=Access(token=TOKEN))
    answer = client.post("/predict/bottle", content=image, headers={**PNG, **shown})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert TOKEN not in answer.text
    assert client.get("/models", headers=shown).status_code == 401
    assert client.get("/openapi.json", headers=shown).status_code == 401
    assert client.get("/predict/../models", headers=shown).status_code == 401
    assert seen == []


def test_with_it_everything_is_and_probes_need_none(serving, image):
    client = serving(access=Access(token=TOKEN))
    shown = {"Authorization": f"bearer {TOKEN}"}
    answer = client.post("/predict/bottle", content=image, headers={**PNG, **shown})
    assert answer.status_code == 200
    assert client.get("/models", headers=shown).status_code == 200
    for path in WITHOUT_TOKEN:
        assert client.get(path).status_code == 200
        assert client.post(path).status_code == 401


def test_the_token_is_in_no_repr(monkeypatch):
    monkeypatch.setenv("GTRANS_SERVE_TOKEN", f" {TOKEN}\n")
    access = access_for("0.0.0.0", "0.0.0.0")  # noqa: S104
    assert access.token == TOKEN
    assert TOKEN not in repr(access)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "::ffff:127.0.0.1"])  # noqa: S104
def test_what_counts_is_the_address_that_was_bound(address, monkeypatch):
    monkeypatch.delenv("GTRANS_SERVE_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="other machines can reach it"):
        access_for("localhost", address)
    assert access_for("localhost", address, anybody=True) == Access()
    assert access_for("my-machine", "127.0.1.1").host_names == {
        "localhost",
        "127.0.0.1",
        "::1",
        "my-machine",
        "127.0.1.1",
    }


def test_a_dead_scoring_thread_is_unhealthy_and_not_ready(serving, monkeypatch):
    client = serving()
    monkeypatch.setattr(client.app.state.service.worker, "failure", "a scoring thread has ended")
    for path in ("/healthz", "/readyz"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()) == (
            503,
            {"error": "a scoring thread has ended"},
        )
