from dataclasses import replace

import numpy as np
import pytest
import reference_tracks as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from random_markets import quotes_of, random_quotes, tape_of

from polygrain.errors import ConfigError
from polygrain.evaluation import rebalance as rebalancing
from polygrain.evaluation.ranking import ranking, within
from polygrain.evaluation.rebalance import Wanted
from polygrain.evaluation.tracks import SELECTIONS, TENTHS, Selection, Tracks, tracks
from polygrain.execution.fills import FILLS, fill_named
from polygrain.execution.ledger import Holdings, market
from polygrain.execution.quotes import Quotes
from polygrain.store.panel import Array

COST = 0.003


def bools(text: str) -> Array:
    return np.array([letter == "1" for letter in text])


def run(quotes: Quotes, scores: Array, members: Array, rule: Selection, **changes: object) -> Tracks:
    settings = {"rebalance": 5, "fill": "t1_vwap", "cost": COST, "days": range(1, len(quotes.axes.days)), **changes}
    ranked = within(ranking(scores, settings["days"]), members)
    trading = market(quotes, fill_named(settings.pop("fill")))
    ((result,),) = tracks([ranked], members, trading, [rule], **settings)
    return result


def rebalanced(before: Array, cash: float, buyable: Array, sellable: Array, *, ranked: Array, number: int) -> Array:
    """Values [symbols] of one portfolio after a rebalance."""
    held = np.flatnonzero(before)
    holdings = Holdings(np.array([0, len(held)]), held, before[held])
    wanted = Wanted(np.array([0, len(ranked)]), np.asarray(ranked, int), np.array([number]))
    after = rebalancing.rebalanced(holdings, np.array([cash]), buyable, sellable, wanted)
    values = np.zeros(len(before))
    values[after.column_H] = after.value_H
    return values


def test_one_track_by_hand() -> None:
    # Two stocks, one held. Day 0 decides A (score 2 > 1), bought on day 1 at its vwap 10: .1 shares of value 1.
    # Close 11 → gross 1.1, net 1.1 · (1 − .0015 · 1) = 1.09835. Day 2: close 12 → gross 1.2.
    # Day 2 decides B; day 3 sells A at 12, buys B at 20: Σ|Δw| = 2, B closes at 21 → gross 1.2 · 1.05 = 1.26,
    # net 1.26 · .9985 · (1 − .0015 · 2) = 1.26 · .9985 · .997 = 1.25433567
    # Benchmark: ½ each at 10 and 20 on day 1: .05 and .025 shares; day 1: .55 + .5 = 1.05; day 2: .6 + .5 = 1.1;
    # day 3 at the fill .6 + .5 = 1.1 → .55 each: B 0.0275 shares · 21 = .5775, A .55 · 12/12 = .55 → 1.1275.
    close = np.array([[10, 20], [11, 20], [12, 20], [12, 21.0]])
    vwap = np.array([[10, 20], [10, 20], [12, 20], [12, 20.0]])
    scores = np.array([[2, 1], [0, 0], [1, 2], [0, 0.0]])
    result = run(
        quotes_of(close, vwap=vwap),
        scores,
        np.ones((4, 2), dtype=bool),
        Selection(name="one", count=1),
        rebalance=2,
        days=range(4),
    )
    np.testing.assert_allclose(result.gross[0], [1, 1.1, 1.2, 1.26], rtol=1e-12)
    np.testing.assert_allclose(result.net[0], [1, 1.09835, 1.1982, 1.26 * 0.9985 * 0.997], rtol=1e-12)
    np.testing.assert_allclose(result.benchmark[0], [1, 1.05, 1.1, 1.1275], rtol=1e-12)
    np.testing.assert_allclose(result.turnover[0], [np.nan, 1, np.nan, 2], rtol=1e-12)
    assert result.first_fill == (1, 2)
    assert (result.base, result.last) == (1, 3)
    # Of 10⁸ yuan day 1 trades all in A, whose amount is 1.1 · 10⁵; day 3 sells all of A, of 1.2 · 10⁵, and buys as
    # much of B, of 2.1 · 10⁵.
    wanted = [np.nan, 1e8 / 1.1e5, np.nan, (1e8 / 1.2e5 + 1e8 / 2.1e5) / 2]
    np.testing.assert_allclose(result.participation[0], wanted, rtol=1e-12)


def test_rebalance_keeps_what_cannot_be_traded() -> None:
    # Held: a .3 suspended, b .2 locked down and not taken, c .1 locked up and taken, d .2 free; cash .2; worth 1.
    # Ranked c, e, d; two taken: c (held), e. a and b keep .5; .5 is left for c and e: c at most .1, so e gets .4.
    before = np.array([0.3, 0.2, 0.1, 0.2, 0.0])
    after = rebalanced(before, 0.2, bools("01011"), bools("00111"), ranked=np.array([2, 4, 3]), number=2)
    np.testing.assert_allclose(after, [0.3, 0.2, 0.1, 0.0, 0.4], rtol=1e-12)


def test_a_locked_up_name_is_cut_to_an_equal_part() -> None:
    # c holds .6, locked up (it can be sold): the equal part is .5.
    after = rebalanced(np.array([0.6, 0.0]), 0.4, bools("01"), bools("11"), ranked=np.array([0, 1]), number=2)
    np.testing.assert_allclose(after, [0.5, 0.5], rtol=1e-12)


def test_a_locked_down_name_keeps_at_least_its_value() -> None:
    after = rebalanced(np.array([0.6, 0.0]), 0.4, bools("11"), bools("01"), ranked=np.array([0, 1]), number=2)
    np.testing.assert_allclose(after, [0.6, 0.4], rtol=1e-12)


def test_a_name_locked_up_and_not_held_is_passed_over() -> None:
    # Rank 0 is locked up and not held, 1 is suspended and not held: 2 and 3 are taken.
    after = rebalanced(np.zeros(5), 1.0, bools("00111"), bools("10111"), ranked=np.arange(5), number=2)
    np.testing.assert_allclose(after, [0, 0, 0.5, 0.5, 0], rtol=1e-12)


def test_a_suspended_held_name_counts_only_where_it_ranks() -> None:
    before = np.array([0.4, 0.0, 0.0])
    ranks_first = rebalanced(before, 0.6, bools("011"), bools("011"), ranked=np.array([0, 1, 2]), number=2)
    np.testing.assert_allclose(ranks_first, [0.4, 0.6, 0.0], rtol=1e-12)
    ranks_last = rebalanced(before, 0.6, bools("011"), bools("011"), ranked=np.array([1, 2, 0]), number=2)
    np.testing.assert_allclose(ranks_last, [0.4, 0.3, 0.3], rtol=1e-12)


def test_what_no_name_can_take_stays_cash() -> None:
    after = rebalanced(np.array([0.3, 0.0]), 0.7, bools("00"), bools("10"), ranked=np.array([0, 1]), number=2)
    np.testing.assert_allclose(after, [0.3, 0.0], rtol=1e-12)


@pytest.mark.parametrize(("members", "number"), [(4, 0), (5, 1), (14, 1), (15, 2), (1245, 125), (1244, 124)])
def test_a_tenth_is_rounded_half_up(members: int, number: int) -> None:
    assert SELECTIONS[0].number(members) == number == reference.top_number(0.1, None, members)


def test_every_tenth_equals_whole_number_arithmetic() -> None:
    assert [SELECTIONS[0].number(n) for n in range(6000)] == [reference.top_number(0.1, None, n) for n in range(6000)]


def test_a_selection_is_a_share_or_a_count() -> None:
    with pytest.raises(ValidationError, match="either share, count or tenth"):
        Selection(name="both", share=0.1, count=10)
    with pytest.raises(ValidationError, match="either share, count or tenth"):
        Selection(name="neither")


def test_tenths_make_up_the_universe_and_differ_by_one_name_at_most() -> None:
    for count in (0, 3, 10, 14, 15, 1245):
        ranked = np.random.default_rng(count).permutation(count)
        tenths = [ranked[slice(*rule.wanted(count, count, blocked=2)[:2])] for rule in TENTHS]
        assert np.array_equal(np.concatenate(tenths), ranked)
        assert np.ptp([len(tenth) for tenth in tenths]) <= 1
    # A tenth of 14 ends at 1.4, 2.8, 4.2, 5.6, 7, ...
    assert [rule.wanted(14, 14, blocked=0)[2] for rule in TENTHS] == [1, 2, 1, 2, 1, 1, 2, 1, 2, 1]


def market_of(seed: int) -> tuple[np.random.Generator, Quotes, Array, Array]:
    generator = np.random.default_rng(seed)
    days, stocks = int(generator.integers(12, 24)), int(generator.integers(3, 14))
    quotes = random_quotes(generator, days, stocks)
    members = quotes.traded & (generator.random((days, stocks)) < 0.9)
    scores = np.round(generator.normal(size=(days, stocks)), 1)  # ties
    return generator, quotes, members, scores


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_tracks_equal_the_oracle(seed: int) -> None:
    generator, quotes, members, scores = market_of(seed)
    days, stocks = members.shape
    fill = str(generator.choice(sorted(FILLS)))
    kinds = {"share": 0.3, "count": int(generator.integers(1, 6)), "tenth": int(generator.integers(1, 11))}
    kind = str(generator.choice(list(kinds)))
    rule = Selection(name="x", **{kind: kinds[kind]})
    rebalance, start = int(generator.integers(1, 6)), int(generator.integers(1, 4))
    pool = members & (generator.random(stocks) < 0.7)
    result = run(quotes, scores, members, rule, rebalance=rebalance, fill=fill, days=range(start, days), pool=pool)
    tape, lag, price = tape_of(quotes), FILLS[fill].lag, FILLS[fill].price

    def best(day: int) -> tuple[list[int], int]:
        ranked = [i for _, i in sorted((-scores[day, i], i) for i in range(stocks) if members[day, i])]
        if rule.tenth is not None:
            return reference.tenth_of(ranked, rule.tenth), stocks
        return ranked, reference.top_number(rule.share, rule.count, int(members[day].sum()))

    def everyone(day: int) -> tuple[list[int], int]:
        return [i for i in range(stocks) if pool[day, i]], stocks

    legs = (
        (result.gross, best, 0.0),
        (result.net, best, COST / 2),
        (result.benchmark, everyone, 0.0),
    )
    for k in range(rebalance):
        schedule = list(range(start + k, days - lag, rebalance))
        for values, choose, cost in legs:
            nav, traded, shares = reference.portfolio(tape, choose, schedule, lag, price, days - 1, cost)
            expected = [nav.get(day, np.nan) for day in range(days)]
            np.testing.assert_allclose(values[k], expected, rtol=1e-9)
            if choose is best:
                moved = [traded.get(day, np.nan) for day in range(days)]
                np.testing.assert_allclose(result.turnover[k], moved, rtol=1e-9, atol=1e-9)
                # Where next to nothing is traded rounding decides what.
                share = [shares[day] if traded.get(day, 0) > 1e-9 else np.nan for day in range(days)]
                known = np.isfinite(share)
                np.testing.assert_allclose(result.participation[k][known], np.array(share)[known], rtol=1e-7)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_trade_is_on_a_locked_side(seed: int) -> None:
    generator = np.random.default_rng(seed)
    stocks = int(generator.integers(1, 12))
    before = np.where(generator.random(stocks) < 0.5, generator.random(stocks), 0.0)
    buyable, sellable = generator.random(stocks) < 0.6, generator.random(stocks) < 0.6
    ranked = generator.permutation(stocks)[: int(generator.integers(0, stocks + 1))]
    cash = float(generator.random())
    after = rebalanced(before, cash, buyable, sellable, ranked=ranked, number=int(generator.integers(0, stocks + 1)))
    assert (after >= 0).all()
    assert (buyable | (after <= before)).all()
    assert (sellable | (after >= before)).all()
    assert after.sum() <= cash + before.sum() + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_scaling_factors_and_relabelling_stocks_change_nothing(seed: int) -> None:
    generator, quotes, members, _ = market_of(seed)
    scores = generator.normal(size=members.shape)  # no ties: those go by symbol
    rule = Selection(name="x", share=0.3)
    plain = run(quotes, scores, members, rule)
    order = generator.permutation(members.shape[1])

    def shuffled(values: Array) -> Array:
        return values[:, order]

    other = quotes_of(
        shuffled(quotes.close),
        open=shuffled(quotes.open),
        high=shuffled(quotes.high),
        low=shuffled(quotes.low),
        vwap=shuffled(quotes.vwap),
        factor=shuffled(quotes.factor) * 3.7,
        age=shuffled(quotes.age),
        up=shuffled(quotes.up_limit),
        down=shuffled(quotes.down_limit),
    )
    again = run(other, shuffled(scores), shuffled(members), rule)
    np.testing.assert_allclose(again.net, plain.net, rtol=1e-12)
    np.testing.assert_allclose(again.benchmark, plain.benchmark, rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nav_up_to_a_day_sees_nothing_later(seed: int) -> None:
    generator, quotes, members, scores = market_of(seed)
    days = len(members)
    cut = int(generator.integers(9, days))
    rule = Selection(name="x", share=0.3)
    whole = run(quotes, scores, members, rule)

    def early(values: Array) -> Array:
        return values[:cut]

    short = quotes_of(
        early(quotes.close),
        open=early(quotes.open),
        high=early(quotes.high),
        low=early(quotes.low),
        vwap=early(quotes.vwap),
        factor=early(quotes.factor),
        age=early(quotes.age),
        up=early(quotes.up_limit),
        down=early(quotes.down_limit),
    )
    part = run(short, early(scores), early(members), rule)
    np.testing.assert_allclose(part.net, whole.net[:, :cut], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_flat_prices_without_cost_leave_the_nav_at_one(seed: int) -> None:
    """Whatever is suspended, split or delisted: adjusted prices stay where they are."""
    generator, rough, members, scores = market_of(seed)
    level = generator.uniform(2, 90, members.shape[1])
    close = np.where(rough.traded, level / rough.factor, np.nan)
    quotes = quotes_of(close, factor=rough.factor, age=rough.age)
    result = run(quotes, scores, members, Selection(name="x", share=0.3), cost=0.0, rebalance=3)
    np.testing.assert_allclose(result.net[:, result.base :], 1.0, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_tracks_of_a_constant_signal_are_the_single_track(seed: int) -> None:
    """The best names stay the best and rise and fall together, so that no weight drifts: the mean over R tracks is the
    one of a portfolio rebalanced every day, less the costs of no trade."""
    generator = np.random.default_rng(seed)
    days, stocks, count = int(generator.integers(12, 30)), int(generator.integers(4, 12)), int(generator.integers(1, 4))
    paths = np.exp(generator.normal(0, 0.03, (days, stocks)).cumsum(axis=0))
    paths[:, :count] = paths[:, :1]
    quotes = quotes_of(paths * generator.uniform(2, 90, stocks))
    scores = np.tile(-np.arange(stocks, dtype=float), (days, 1))
    settings = {"members": np.ones(paths.shape, bool), "rule": Selection(name="x", count=count)}
    several = run(quotes, scores, rebalance=int(generator.integers(2, 6)), **settings)
    single = run(quotes, scores, rebalance=1, **settings)
    common = slice(several.base, None)
    for leg in ("gross", "net"):
        found, wanted = getattr(several, leg)[:, common], getattr(single, leg)[0, common]
        # Each counted from the close before the last track's first fill; a track's own first costs lie before it.
        mean = (found / found[:, 1:2]).mean(axis=0)[1:]
        np.testing.assert_allclose(mean, wanted[1:] / wanted[1], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_split_changes_nothing(seed: int) -> None:
    """From some day on one stock has k times as many shares at a k-th of the price."""
    generator, quotes, members, scores = market_of(seed)
    days, stocks = members.shape
    stock, day, ratio = int(generator.integers(stocks)), int(generator.integers(1, days)), 2.0
    split = np.ones((days, stocks))
    split[day:, stock] = ratio
    after = quotes_of(
        quotes.close / split,
        open=quotes.open / split,
        high=quotes.high / split,
        low=quotes.low / split,
        vwap=quotes.vwap / split,
        factor=quotes.factor * split,
        age=quotes.age,
        up=quotes.up_limit / split,
        down=quotes.down_limit / split,
        amount=quotes.amount,
    )
    # Half a fen is another part of a halved price: which limits hold is kept, and nothing else is asked of them.
    before, trading = market(quotes, FILLS["t1_vwap"]), market(after, FILLS["t1_vwap"])
    trading = replace(trading, buyable=before.buyable, sellable=before.sellable)
    rankings, rules = [within(ranking(scores, range(1, days)), members)], [Selection(name="x", share=0.3)]
    ((plain,),), ((again,),) = (
        tracks(rankings, members, each, rules, rebalance=4, cost=COST, days=range(1, days))
        for each in (before, trading)
    )
    for name in ("gross", "net", "benchmark", "turnover", "participation"):
        # Halves are exact in binary.
        np.testing.assert_array_equal(getattr(again, name), getattr(plain, name))


def test_a_missed_decision_keeps_the_calendar() -> None:
    # Decisions on 0, 2, 4, 6 for track 0; day 4 has no scores, so its fill on day 5 does not happen.
    quotes = quotes_of(np.full((9, 3), 5.0))
    members = np.ones((9, 3), dtype=bool)
    days = [0, 1, 2, 3, 5, 6, 7, 8]
    result = run(quotes, np.ones((9, 3)), members, Selection(name="x", count=1), rebalance=2, days=days)
    assert np.flatnonzero(np.isfinite(result.turnover[0])).tolist() == [1, 3, 7]
    assert np.flatnonzero(np.isfinite(result.turnover[1])).tolist() == [2, 4, 6, 8]


def test_refusals() -> None:
    quotes = quotes_of(np.full((9, 3), 5.0))
    members, scores, rule = np.ones((9, 3), dtype=bool), np.ones((9, 3)), Selection(name="x", count=1)
    with pytest.raises(ConfigError, match=r"^evaluation.rebalance: 3 days with scores start fewer than 5 tracks"):
        run(quotes, scores, members, rule, days=[1, 2, 3])
    with pytest.raises(ConfigError, match=r"^evaluation.fills: a fill on the first day"):
        run(quotes, scores, members, rule, fill="t0_close", days=range(9))
    with pytest.raises(ConfigError, match=r"^fill: unknown fill 't2_open'"):
        run(quotes, scores, members, rule, fill="t2_open")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_portfolios_side_by_side_are_those_alone_to_the_bit(seed: int) -> None:
    generator, quotes, members, scores = market_of(seed)
    days = range(1, len(members))
    panels = [scores, generator.normal(size=scores.shape), -scores]
    rules = [Selection(name="x", share=0.3), Selection(name="y", count=2)]
    rankings = [within(ranking(each, days), members) for each in panels]
    trading = market(quotes, FILLS["t1_open"])
    together = tracks(rankings, members, trading, rules, rebalance=3, cost=COST, days=days)
    for panel, by_rule in zip(panels, together, strict=True):
        for rule, found in zip(rules, by_rule, strict=True):
            alone = run(quotes, panel, members, rule, rebalance=3, fill="t1_open")
            for name in ("gross", "net", "turnover", "participation"):
                assert np.array_equal(getattr(found, name), getattr(alone, name), equal_nan=True)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_levels_spend_what_is_left(seed: int) -> None:
    """Σ of what the names take at the level is what is left, or all that caps and floors let them take."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 5))
    portfolio = np.sort(generator.integers(0, count, int(generator.integers(0, 12))))
    value = np.round(generator.random(len(portfolio)), 1)
    kind = generator.integers(0, 3, len(portfolio))
    left = np.round(generator.random(count) * 3, 1)
    names = np.bincount(portfolio, minlength=count)
    levels = rebalancing._levels(left, names, portfolio, value, kind == 1, kind == 2)
    for p in range(count):
        mine = portfolio == p
        caps, floors, free = value[mine & (kind == 1)], value[mine & (kind == 2)], int((mine & (kind == 0)).sum())

        def spent(x: float, caps: Array = caps, floors: Array = floors, free: int = free) -> float:
            return (free * x if free else 0.0) + np.minimum(caps, x).sum() + np.maximum(floors, x).sum()

        if not mine.any():
            continue
        if spent(0.0) >= left[p]:
            assert spent(levels[p]) == pytest.approx(spent(0.0), abs=1e-12)
        elif not free and not len(floors) and caps.sum() <= left[p]:
            assert spent(levels[p]) == pytest.approx(caps.sum(), abs=1e-12)
        else:
            assert spent(levels[p]) == pytest.approx(left[p], abs=1e-12)
