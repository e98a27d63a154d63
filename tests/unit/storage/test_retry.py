"""One policy: transient faults again within a budget, everything else at once."""

from __future__ import annotations

import time

import pytest

from gtrans_core.errors import ConfigError, StorageError
from gtrans_core.storage import RetryPolicy, TransientError, retrying

QUICK = RetryPolicy(budget_s=0.3, first_wait_s=0.01, longest_wait_s=0.05)


def test_five_faults_then_success() -> None:
    left = [TransientError("503")] * 5

    def attempt() -> str:
        if left:
            raise left.pop()
        return "here"

    assert retrying("url", attempt, RetryPolicy(budget_s=5, first_wait_s=0.01)) == "here"
    assert not left


def test_gives_up_within_the_budget() -> None:
    def attempt() -> None:
        raise TransientError("the server answered 503 SlowDown")

    begun = time.monotonic()
    with pytest.raises(StorageError) as caught:
        retrying("s3://bucket/file", attempt, QUICK)
    assert time.monotonic() - begun < 0.3
    text = str(caught.value)
    assert text.startswith("s3://bucket/file: the server answered 503 SlowDown; gave up after ")
    assert "within 0.3 s" in text
    assert "\n" not in text


def test_other_errors_pass_at_once() -> None:
    calls = []

    def attempt() -> None:
        calls.append(1)
        raise StorageError("403")

    with pytest.raises(StorageError, match=r"^403$"):
        retrying("url", attempt, QUICK)
    assert len(calls) == 1


def test_waits_are_random() -> None:
    """Pods that failed together must not come back together."""

    def waited() -> float:
        left = [TransientError("503")]

        def attempt() -> float:
            if left:
                raise left.pop()
            return time.monotonic()

        begun = time.monotonic()
        return retrying("url", attempt, RetryPolicy(budget_s=5, first_wait_s=0.1)) - begun

    times = [waited() for _ in range(6)]
    assert max(times) - min(times) > 0.005


def test_budget_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GTRANS_RETRY_SECONDS", raising=False)
    assert RetryPolicy.from_environment() == RetryPolicy()
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "2.5")
    assert RetryPolicy.from_environment().budget_s == 2.5
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "soon")
    with pytest.raises(ConfigError, match="GTRANS_RETRY_SECONDS=soon"):
        RetryPolicy.from_environment()
