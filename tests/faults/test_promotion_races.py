"""Fault 16: promoters that cross each other at any point."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtrans_core.errors import SupersededError
from gtrans_core.tracking.promotion.promotion import PromotionResult, promote, rollback
from tests.support.promoters import (  # noqa: F401  (a fixture among them)
    BETTER,
    CALLS,
    GATE,
    MODEL,
    OLD,
    WORSE,
    check_the_better_won,
    check_the_worse_knows,
    moves,
    new_registry,
    nothing_to_download,
    promoter,
    registrar,
    roller,
)


def test_one_promotion_makes_fewer_calls_than_are_tried():
    worker = promoter(new_registry(), BETTER)
    worker.finish()
    assert 10 < worker.calls < CALLS
    assert worker.result == PromotionResult(BETTER, OLD, True)


class TestTwoPromoters:
    @pytest.mark.parametrize("first", [BETTER, WORSE])
    def test_interleaved_at_every_point_the_better_one_wins(self, first: int):
        """The first makes i calls, the second j, then the first ends, then the second."""
        superseded = 0
        for i in range(CALLS):
            for j in range(CALLS):
                registry = new_registry()
                workers = {v: promoter(registry, v) for v in (BETTER, WORSE)}
                one, other = workers[first], workers[BETTER + WORSE - first]
                one.step(i)
                other.step(j)
                over = one.ended, other.ended
                one.finish()
                other.finish()
                assert workers[BETTER].result is not None
                assert isinstance(workers[BETTER].result, PromotionResult), (
                    i,
                    j,
                    workers[BETTER].result,
                )
                check_the_better_won(registry)
                check_the_worse_knows(workers[WORSE], registry)
                superseded += isinstance(workers[WORSE].result, SupersededError)
                if over[1]:
                    break  # with more calls it is the same again
            if over[0]:
                break
        assert superseded > 20

    @given(st.lists(st.booleans(), max_size=2 * CALLS))
    @settings(max_examples=300, deadline=None)
    def test_in_any_order_of_calls_the_better_one_wins(self, order: list[bool]):
        registry = new_registry()
        better, worse = promoter(registry, BETTER), promoter(registry, WORSE)
        for turn in order:
            (better if turn else worse).step()
        worse.finish()
        better.finish()
        check_the_better_won(registry)
        check_the_worse_knows(worse, registry)

    def test_the_first_two_ever(self):
        """There is no ledger yet, and both make it."""
        for i in range(CALLS):
            registry = new_registry(champion=None)
            better, worse = promoter(registry, BETTER), promoter(registry, WORSE)
            worse.step(i)
            over = worse.ended
            better.finish()
            worse.finish()
            assert moves(registry)[-1][2] == BETTER
            assert registry.models[MODEL].aliases["champion"] == str(BETTER)
            if over:
                break

    def test_the_same_version_twice_is_one_move(self):
        for i in range(CALLS):
            registry = new_registry()
            one, other = promoter(registry, BETTER), promoter(registry, BETTER)
            one.step(i)
            over = one.ended
            other.finish()
            one.finish()
            assert moves(registry) == [("promote", None, OLD), ("promote", OLD, BETTER)]
            for worker in (one, other):
                assert isinstance(worker.result, PromotionResult)
                assert worker.result.champion == BETTER
            if over:
                break


class TestRegistrations:
    """A promotion takes the alias ``challenger`` from its own version and from no other."""

    @pytest.mark.parametrize("registrations", [1, 2])
    def test_at_every_point_the_newest_version_is_the_challenger(self, registrations: int):
        for i, j in itertools.product(range(CALLS), range(4)):
            registry = new_registry()
            promoting = promoter(registry, WORSE)
            promoting.step(i)
            over = promoting.ended
            for _ in range(registrations):
                registering = registrar(registry)
                registering.step(j)
                promoting.step()
                registering.finish()
            promoting.finish()
            newest = len(registry.models[MODEL].versions)
            assert newest == WORSE + registrations
            assert registry.models[MODEL].aliases["challenger"] == str(newest), (i, j)
            if over and j == 3:
                break

    @given(st.lists(st.integers(0, 2), max_size=CALLS))
    @settings(max_examples=200, deadline=None)
    def test_in_any_order_of_calls(self, order: list[int]):
        registry = new_registry()
        workers = (promoter(registry, WORSE), registrar(registry), promoter(registry, WORSE))
        for turn in order:
            workers[turn].step()
        for worker in workers:
            worker.finish()
        assert registry.models[MODEL].aliases["challenger"] == str(WORSE + 1)

    def test_without_a_registration_nobody_is(self):
        registry = new_registry()
        promoter(registry, WORSE).finish()
        assert "challenger" not in registry.models[MODEL].aliases


class TestRollbackRaces:
    def test_two_rollbacks_at_once_go_back_once(self):
        for i in range(1, CALLS):
            registry = new_registry()
            promote(registry, "bottle", GATE, WORSE)
            promote(registry, "bottle", GATE, BETTER)
            one, other = roller(registry), roller(registry)
            one.step(i)
            if one.ended:
                break
            other.finish()
            one.finish()
            assert moves(registry)[3:] == [("rollback", BETTER, WORSE)]
            assert registry.models[MODEL].aliases["champion"] == str(WORSE)
            for worker in (one, other):
                assert isinstance(worker.result, PromotionResult)
                assert worker.result.champion == WORSE
        assert i > 10

    def test_a_rollback_never_undoes_a_promotion_it_has_not_seen(self):
        for i in range(CALLS):
            registry = new_registry()
            promote(registry, "bottle", GATE, WORSE)
            back, better = roller(registry), promoter(registry, BETTER)
            back.step(i)
            over = back.ended
            better.finish()
            back.finish()
            made = moves(registry)[2:]
            assert made in (
                [("promote", WORSE, BETTER)],  # overtaken: it says so
                [("rollback", WORSE, OLD), ("promote", OLD, BETTER)],
                [("promote", WORSE, BETTER), ("rollback", BETTER, WORSE)],  # began afterwards
            )
            if made == [("promote", WORSE, BETTER)]:
                assert isinstance(back.result, SupersededError)
            assert registry.models[MODEL].aliases["champion"] == str(made[-1][2])
            if over:
                break


def test_a_move_that_mlflow_sent_twice_counts_once(monkeypatch: pytest.MonkeyPatch):
    registry = new_registry()
    create = registry.create_model_version

    def twice(*arguments: Any, **options: Any) -> None:
        create(*arguments, **options)
        create(*arguments, **options)

    monkeypatch.setattr(registry, "create_model_version", twice)
    assert promote(registry, "bottle", GATE, BETTER) == PromotionResult(BETTER, OLD, True)
    promote(registry, "bottle", GATE, BETTER)
    assert moves(registry) == [("promote", None, OLD), ("promote", OLD, BETTER)]
    assert rollback(registry, "bottle").champion == OLD
