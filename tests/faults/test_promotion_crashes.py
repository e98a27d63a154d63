"""Fault 17: promoters that die before any call."""

from __future__ import annotations

from gtrans_core.errors import GateError
from gtrans_core.tracking.promotion.promotion import PromotionResult, promote
from tests.support.promoters import (  # noqa: F401  (a fixture among them)
    BETTER,
    CALLS,
    GATE,
    MODEL,
    OLD,
    WORSE,
    check_the_better_won,
    moves,
    new_registry,
    nothing_to_download,
    promoter,
    roller,
)


def test_killed_before_any_call_a_rerun_converges():
    for i in range(CALLS):
        registry = new_registry()
        killed = promoter(registry, BETTER)
        killed.step(i)
        over = killed.ended
        killed.kill()
        assert registry.models[MODEL].aliases["champion"] in (str(OLD), str(BETTER))
        rerun = promoter(registry, BETTER)
        rerun.finish()
        assert isinstance(rerun.result, PromotionResult)
        check_the_better_won(registry)
        if over:
            break  # with more calls it is the same again


def test_killed_the_next_command_of_anybody_finishes_it():
    for i in range(CALLS):
        registry = new_registry()
        killed = promoter(registry, BETTER)
        killed.step(i)
        over = killed.ended
        killed.kill()
        worse = promoter(registry, WORSE)
        worse.finish()
        if ("promote", OLD, BETTER) in moves(registry):
            assert registry.models[MODEL].aliases["champion"] == str(BETTER)
            assert isinstance(worse.result, GateError)
        else:
            assert worse.result == PromotionResult(WORSE, OLD, True)
        if over:
            break


def test_overtaken_then_killed_at_every_point_a_rerun_converges():
    """The worst: a late alias of a dead promoter stays until the next command."""
    late_alias = 0
    for i in range(CALLS):
        for late in range(CALLS):
            registry = new_registry()
            worse, better = promoter(registry, WORSE), promoter(registry, BETTER)
            worse.step(i)
            over = worse.ended
            better.finish()
            worse.step(late)
            over_late = worse.ended
            worse.kill()
            late_alias += registry.models[MODEL].aliases["champion"] == str(WORSE)
            rerun = promoter(registry, BETTER)
            rerun.finish()
            check_the_better_won(registry, tidy=False)
            assert OLD not in registry.champions[1:]
            if over_late:
                break
        if over:
            break
    assert late_alias  # or else this test is of nothing


def test_a_rollback_killed_before_any_call_is_made_once():
    for i in range(CALLS):
        registry = new_registry()
        promote(registry, "bottle", GATE, WORSE)
        promote(registry, "bottle", GATE, BETTER)
        killed = roller(registry)
        killed.step(i)
        done = killed.ended
        killed.kill()
        if not done:
            roller(registry).finish()
        assert moves(registry)[3:] == [("rollback", BETTER, WORSE)]
        assert registry.models[MODEL].aliases["champion"] == str(WORSE)
        if done:
            break
