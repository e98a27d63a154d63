"""The one retry policy of everything that talks to a server: random waits within a time budget."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from gtrans_core.errors import ConfigError, StorageError
from gtrans_core.system.text import printable

if TYPE_CHECKING:
    from tenacity import RetryCallState

BUDGET_VARIABLE = "GTRANS_RETRY_SECONDS"
DEFAULT_BUDGET_S = 60.0

T = TypeVar("T")
_log = logging.getLogger(__name__)


class TransientError(Exception):
    """A fault that may pass by itself: a 5xx, throttling, a timeout, a broken connection.

    Raised by a single attempt, caught by ``retrying``; users see its text in the log.
    """

    def __init__(self, text: str) -> None:
        super().__init__(printable(" ".join(text.split())))


@dataclass(frozen=True)
class RetryPolicy:
    """How long to try. The n-th wait is random in [0, min(first * 2^(n-1), longest)] seconds."""

    budget_s: float = DEFAULT_BUDGET_S
    first_wait_s: float = 0.5
    longest_wait_s: float = 10.0

    @classmethod
    def from_environment(cls) -> RetryPolicy:
        """The default policy, with the budget of ``GTRANS_RETRY_SECONDS`` where that is set.

        Raises:
            ConfigError: when the variable is not a number of seconds.
        """
        text = os.environ.get(BUDGET_VARIABLE)
        if text is None:
            return cls()
        try:
            return cls(budget_s=float(text))
        except ValueError:
            raise ConfigError(f"{BUDGET_VARIABLE}={text}: expected a number of seconds") from None


QUICKLY = RetryPolicy(budget_s=3.0, first_wait_s=0.5)
"""For looking whether a server is there at all."""


def retrying(what: str, attempt: Callable[[], T], policy: RetryPolicy | None = None) -> T:
    """The result of ``attempt``, called again while it raises TransientError and budget is left.

    Args:
        what: what is attempted, for the log and the error (a URL without secrets).
        attempt: does the work, or raises; any other exception passes through at once.
        policy: when to give up; by default from the environment.

    Raises:
        StorageError: when the budget is spent, naming ``what``, the last fault and the tries.
    """
    # Imported on use: importing it takes a third of the command line's start.
    from tenacity import (
        RetryError,
        Retrying,
        retry_if_exception_type,
        stop_before_delay,
        wait_random_exponential,
    )

    more = "" if policy else f" ({BUDGET_VARIABLE} allows longer)"
    policy = policy or RetryPolicy.from_environment()

    def tell(state: RetryCallState) -> None:
        _log.warning("%s: %s; trying again (up to %g s)", what, _fault_of(state), policy.budget_s)

    loop = Retrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_random_exponential(policy.first_wait_s, policy.longest_wait_s),
        stop=stop_before_delay(policy.budget_s),
        before_sleep=tell,
    )
    try:
        return loop(attempt)
    except RetryError as error:
        last = error.last_attempt
        raise StorageError(
            f"{what}: {last.exception()}; gave up after {last.attempt_number} tries within "
            f"{policy.budget_s:g} s{more}",
            passing=True,
        ) from None


def _fault_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
