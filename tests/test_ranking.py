"""Rankings against sorting one stock at a time, and the files that processes share them by."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_markets import random_quotes

from polygrain.evaluation.ranking import Order, ordered, ranking, within
from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import Market, market
from polygrain.pipeline.evaluation_files import EvaluationFiles

NAN = np.nan


def test_by_hand() -> None:
    # Columns 1 and 3 share the top, then come 0 and 4: ranks 1.5 1.5 3 4 from the best, 2 · rank − 5 = −2 −2 1 3.
    (order,) = ranking(np.array([[0.5, 2.0, NAN, 2.0, -1.0]]), [0]).values()
    assert order.columns.tolist() == [1, 3, 0, 4]
    assert order.columns.dtype == np.int16
    assert order.centred().tolist() == [-2, -2, 1, 3]
    assert order.ranks(5).tolist() == [1, -2, 0, -2, 3]
    assert order.mask(5).tolist() == [True, True, False, True, True]
    # Without column 3 there is no tie any more.
    alone = order.among(np.array([True, True, True, False, True]))
    assert alone.columns.tolist() == [1, 0, 4]
    assert alone.centred().tolist() == [-2, 0, 2]


def test_of_nothing() -> None:
    assert len(ordered(np.full(3, NAN))) == 0
    assert Order(np.zeros(0, int), np.zeros(0, int)).centred().tolist() == []
    assert ordered(np.array([NAN, 7.0])).columns.tolist() == [1]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_plain_sorting(seed: int) -> None:
    generator = np.random.default_rng(seed)
    stocks = int(generator.integers(1, 40))
    values = np.round(generator.normal(size=stocks), int(generator.integers(0, 4)))
    values[generator.random(stocks) < 0.2] = NAN
    inside = generator.random(stocks) < 0.8
    order = ordered(values).among(inside)
    expected = sorted((values[s], s) for s in range(stocks) if np.isfinite(values[s]) and inside[s])
    assert order.columns.tolist() == [s for _, s in expected]
    plain = [value for value, _ in expected]
    for place, value in enumerate(plain):
        below, equal = sum(other < value for other in plain), sum(other == value for other in plain)
        # Average rank: below + (equal + 1)/2.
        assert order.centred()[place] == 2 * below + equal + 1 - (len(plain) + 1)


def test_more_symbols_than_two_bytes_count() -> None:
    (order,) = ranking(np.arange(40_000.0)[None], [0]).values()
    assert order.columns.tolist() == list(range(39_999, -1, -1))


def test_rankings_and_markets_come_back_from_their_files(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    scores = np.round(generator.normal(size=(6, 30)), 1)
    scores[2] = NAN
    scores[4] = generator.permutation(30)
    written = ranking(scores, range(6))
    assert {day for day, order in written.items() if order.ties is None} == {2, 4}
    files = EvaluationFiles(tmp_path)
    files.save_ranking(1, 3, written)
    for day, order in files.ranking(1, 3).items():
        assert np.array_equal(order.columns, written[day].columns)
        assert (order.ties is None) == (written[day].ties is None)
        assert order.ties is None or np.array_equal(order.ties, written[day].ties)
    mask = generator.random((6, 30)) < 0.5
    for day, order in within(files.ranking(1, 3), mask).items():
        assert np.array_equal(order.columns, [c for c in written[day].columns if mask[day, c]])
    quotes = random_quotes(generator, 12, 5)
    files.save_axes(quotes.axes)
    assert files.axes() == quotes.axes
    for fill in ("t0_close", "t1_vwap"):
        files.save_market(fill, market(quotes, FILLS[fill]))
    for fill in ("t0_close", "t1_vwap"):
        _equal(files.market(fill), market(quotes, FILLS[fill]))


def _equal(one: Market, other: Market) -> None:
    assert one.lag == other.lag
    for name, panel in vars(other).items():
        if name != "lag":
            np.testing.assert_array_equal(getattr(one, name), panel)


def test_a_shared_file_cannot_be_written(tmp_path: Path) -> None:
    files = EvaluationFiles(tmp_path)
    files.save_members(0, np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="read-only"):
        files.members(0)[0, 0] = False
