"""Features against hand arithmetic, against a plain-loop oracle on ragged markets, and their invariances."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import reference_features as oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin_files import example, using
from ragged_bars import BARS, DAILY, Ragged, ragged, weekdays

from polygrain.errors import ConfigError
from polygrain.features.bars import Bars, SlotBars
from polygrain.features.granularity import Granularity
from polygrain.features.grid import Grid, grid, last_close
from polygrain.features.library import FEATURES, chosen, compute, feature, missing
from polygrain.features.totals import Totals
from polygrain.features.weeks import WeekBars
from polygrain.market.session import Session

SESSION = Session()
ALL = frozenset({"amount", "float_shares"})
# Sums of up to 80 terms in another order: relative to values of order 1 the two differ by a few 1e-14.
TOLERANCE = 1e-12
# What holds for every feature is tried with the examples' beside ours.
OWN = example("own_feature.py")


def grid_of(market: Ragged) -> Grid:
    return grid(market.bars, market.daily, market.days, market.symbols, SESSION, market.base_bar)


def bars_of(dense: Grid, bar: str) -> Bars:
    totals = Totals(dense)
    return WeekBars(totals, 0) if bar == "week" else SlotBars(totals, SESSION.minutes_of(bar), 0)


def values(dense: Grid, bar: str, name: str) -> np.ndarray:
    """[days, slots, stocks]"""
    bars = bars_of(dense, bar)
    return compute(name, bars).reshape(-1, bars.bars_a_day, dense.traded.shape[1])


def possible(market: Ragged, bar: str) -> list[str]:
    m = SESSION.bars_in(bar, market.base_bar)
    return [f.name for f in FEATURES.values() if f.min_bars <= m]


@pytest.mark.parametrize(
    ("seed", "nb", "bar"),
    [
        (1, 16, "30min"),
        (2, 16, "60min"),
        (3, 16, "day"),
        (4, 16, "week"),
        (5, 8, "60min"),
        (6, 48, "30min"),
        (7, 1, "day"),
        (8, 1, "week"),
    ],
)
def test_oracle(seed: int, nb: int, bar: str) -> None:
    market = ragged(seed, days=42, stocks=5, nb=nb)
    dense = grid_of(market)
    m = None if bar == "week" else SESSION.bars_in(bar, market.base_bar)
    for name in possible(market, bar):
        fast = values(dense, bar, name)
        for s, stock in enumerate(market.stocks):
            slow = np.array(oracle.feature(name, stock, m, len(market.days)), dtype=float)
            # A log return of 0 and a sum that cancels are known to an absolute error; skew and kurtosis reach 80.
            np.testing.assert_allclose(
                fast[:, :, s], slow, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{name} {market.symbols[s]}"
            )
        assert np.isfinite(fast).any(), f"{name} is null everywhere: the market tests nothing"


def hand_market() -> Ragged:
    """One stock, two days of four 60-minute bars, a 2:1 split between them; the second bar of day two is absent."""
    days = weekdays(2)
    first = [(10.0, 10.0, 10.0, 10.0, 100, 1000.0)] * 4
    second = {
        0: (5.0, 5.2, 5.0, 5.2, 100, 510.0),
        2: (5.2, 5.2, 5.0, 5.0, 300, 1530.0),
        3: (5.0, 5.5, 5.0, 5.5, 200, 1050.0),
    }
    rows = [("600000.SH", days[0], j, *bar) for j, bar in enumerate(first)]
    rows += [("600000.SH", days[1], j, *bar) for j, bar in second.items()]
    daily = [
        ("600000.SH", days[0], 10.0, 10.0, 10.0, 10.0, 400, 4000.0, 1.0, False, 1e6),
        ("600000.SH", days[1], 5.0, 5.5, 5.0, 5.4, 600, 3090.0, 2.0, False, 2e6),
    ]
    bars = pl.DataFrame(rows, schema=BARS, orient="row")
    return Ragged(days, ("600000.SH",), 4, pl.DataFrame(daily, schema=DAILY, orient="row"), bars, [])


def test_by_hand() -> None:
    dense = grid_of(hand_market())

    def day(name: str) -> float:
        return float(values(dense, "day", name)[1, 0, 0])

    # C₋ = 10 · 1/2 = 5; base closes 5.2, 5.2 (absent, flat), 5.0, 5.4 (official, not 5.5).
    r = [math.log(5.2 / 5), 0.0, math.log(5.0 / 5.2), math.log(5.4 / 5)]
    np.testing.assert_allclose(dense.r[1, :, 0], r, atol=1e-15)
    np.testing.assert_array_equal(dense.close[1, :, 0], [5.2, 5.2, 5.0, 5.4])
    np.testing.assert_array_equal(dense.volume[1, :, 0], [100, 0, 300, 200])
    assert day("open_ret") == 0.0
    assert day("high_ret") == pytest.approx(math.log(1.1))
    assert day("close_ret") == pytest.approx(math.log(1.08))
    # VWAP = 3090 / 600 = 5.15
    assert day("vwap_ret") == pytest.approx(math.log(1.03))
    assert day("close_to_vwap") == pytest.approx(math.log(5.4 / 5.15))
    # (5.4 − 5)/(5.5 − 5) = .8
    assert day("close_position") == pytest.approx(0.8)
    assert day("turnover") == pytest.approx(600 / 2e6)
    # 4 · (510² + 1530² + 1050²)/3090² = 1.55151
    assert day("amount_concentration") == pytest.approx(1.55151, abs=5e-6)
    assert day("late_amount_share") == pytest.approx(1050 / 3090)
    assert day("large_volume_return") == pytest.approx(r[2] + r[3])
    assert day("path_efficiency") == pytest.approx(sum(r) / (r[0] - r[2] + r[3]))
    assert day("intrabar_drawdown") == pytest.approx(-r[2])
    # Two of the four pairs of |r| are zero, and so is the third.
    assert day("jump_share") == pytest.approx(1 - math.pi / 2 * (abs(r[2]) * r[3]) / sum(x * x for x in r))
    # Three bars of a constant price on the first day, which has no C₋: nothing but the range is known.
    assert values(dense, "day", "range")[0, 0, 0] == 0.0
    assert values(dense, "day", "close_position")[0, 0, 0] == 0.5
    assert np.isnan(values(dense, "day", "close_ret")[0, 0, 0])
    assert np.isnan(values(dense, "day", "price_volume_corr")[0, 0, 0])


def test_close_before_comes_from_rows_before_the_grid() -> None:
    market = ragged(11, days=40, stocks=6, nb=8)
    whole = grid_of(market)
    late = market.days[25:]
    assert market.bars is not None
    early = last_close(market.daily.filter(pl.col("date") < market.days[10]), market.symbols, None)
    early = last_close(
        market.daily.filter(pl.col("date").is_between(market.days[10], market.days[24])), market.symbols, early
    )
    rest = market.daily.filter(pl.col("date") > market.days[24])
    for part in (
        grid(market.bars, market.daily, late, market.symbols, SESSION, "30min"),
        grid(market.bars, rest, late, market.symbols, SESSION, "30min", early),
    ):
        for name in ("previous_close", "r", "close", "volume", "traded"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[25:], err_msg=name)


def same_bits(a: Grid, b: Grid, bars: list[str], names: list[str]) -> None:
    for bar in bars:
        for name in names:
            if FEATURES[name].min_bars <= SESSION.bars_in(bar, "30min"):
                assert values(a, bar, name).tobytes() == values(b, bar, name).tobytes(), f"{name} {bar}"


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([3.7, 0.01, 12.3456789]))
def test_scaling_factors_and_permuting_rows_changes_no_bit(seed: int, scale: float) -> None:
    market = ragged(seed, days=14, stocks=3, nb=8)
    assert market.bars is not None
    daily = market.daily.with_columns(pl.col("factor") * scale).sample(fraction=1, shuffle=True, seed=seed)
    bars = market.bars.sample(fraction=1, shuffle=True, seed=seed)
    moved = grid(bars, daily, market.days, market.symbols, SESSION, "30min")
    with using(*OWN):
        same_bits(grid_of(market), moved, ["30min", "60min", "day", "week"], list(FEATURES))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6))
def test_a_stock_alone_has_the_bits_it_has_among_others(seed: int) -> None:
    market = ragged(seed, days=14, stocks=3, nb=8)
    dense = grid_of(market)
    with using(*OWN):
        for s in range(3):
            alone = dense.stocks(np.array([s]))
            for bar in ("60min", "day", "week"):
                for name in possible(market, bar):
                    among = values(dense, bar, name)[:, :, s]
                    assert among.tobytes() == values(alone, bar, name)[:, :, 0].tobytes(), name


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 12))
def test_later_days_change_nothing(seed: int, cut: int) -> None:
    market = ragged(seed, days=14, stocks=3, nb=8)
    assert market.bars is not None
    last = market.days[cut]
    past = grid(
        market.bars.filter(pl.col("date") <= last),
        market.daily.filter(pl.col("date") <= last),
        market.days[: cut + 1],
        market.symbols,
        SESSION,
        "30min",
    )
    whole = grid_of(market)
    with using(*OWN):
        for bar in ("60min", "day", "week"):
            for name in possible(market, bar):
                assert values(past, bar, name).tobytes() == values(whole, bar, name)[: cut + 1].tobytes(), name


def test_a_short_last_bar_is_filled_up_without_trades() -> None:
    # 70 minutes from 10-minute bars: 3 whole bars of 7 and a last one of 3 base bars and 4 empty ones.
    market = ragged(3, days=6, stocks=2, nb=24)
    dense = grid_of(market)
    with pytest.raises(ConfigError, match="does not divide the session"):
        Granularity(name="odd", bar="70min").bars_a_day(SESSION)
    assert Granularity(name="odd", bar="70min", short_last_bar=True).bars_a_day(SESSION) == 4
    bars = SlotBars(Totals(dense), 70, 0)
    amount = bars.total("a").reshape(6, 4, 2)
    np.testing.assert_allclose(amount[:, 3], dense.amount[:, 21:].sum(axis=1))
    close = bars.close.reshape(6, 4, 2)
    np.testing.assert_array_equal(close[:, 3], dense.close[:, 23])


def test_choice_of_features() -> None:
    three = [Granularity(name=n, bar=n) for n in ("day", "60min", "30min")]
    counts = {name: len(names) for name, names in chosen(three, SESSION, "15min", ALL).items()}
    assert counts == {"day": 26, "60min": 26, "30min": 15}
    assert {len(names) for names in chosen(three, SESSION, "5min", ALL).values()} == {26}
    common = [g.model_copy(update={"features": "common"}) for g in three]
    assert len(set(chosen(common, SESSION, "15min", ALL).values())) == 1
    named = [Granularity(name="day", bar="day", features=["range", "open_ret"])]
    assert chosen(named, SESSION, "15min", ALL) == {"day": ("open_ret", "range")}
    assert missing(frozenset({"amount"})) == ("turnover",)
    assert "log_amount" not in chosen(three, SESSION, "15min", frozenset())["day"]


@pytest.mark.parametrize(
    ("bar", "name", "message"),
    [
        (
            "30min",
            "realized_skew",
            "granularity.g.features: realized_skew needs 4 base bars, and a bar of 30min holds 2 of 15min; "
            "leave it out or use a longer bar",
        ),
        (
            "day",
            "turnover",
            "granularity.g.features: turnover needs float_shares, which the source does not have; leave it out",
        ),
        ("day", "momentun", "granularity.g.features: there is no feature 'momentun'; choose from open_ret, high_ret"),
    ],
)
def test_refused_features(bar: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen([Granularity(name="g", bar=bar, features=[name])], SESSION, "15min", frozenset({"amount"}))
    assert str(caught.value).startswith(message)


def test_a_bar_must_be_whole_base_bars() -> None:
    with pytest.raises(ConfigError, match="40min is not a whole number of base bars of 15min"):
        chosen([Granularity(name="g", bar="40min")], SESSION, "15min", ALL)


def test_a_name_is_registered_once() -> None:
    both = r"library\.range_ and test_features\.test_a_name_is_registered_once\.<locals>\.range; rename one"
    with pytest.raises(ConfigError, match=f"^feature range: is registered by polygrain.features.{both}$"):

        @feature(min_bars=1)
        def range(bars: Bars) -> np.ndarray:
            """Taken."""
            return bars.high


def test_every_feature_is_documented() -> None:
    with using(*OWN):
        assert len(FEATURES) == 28
        for one in FEATURES.values():
            assert one.function.__doc__, one.name
            assert ("†" in one.function.__doc__) == (one.log is not None), one.name
            assert not one.history or f"{one.history} days before" in one.function.__doc__, one.name


def test_the_examples_features_against_plain_loops() -> None:
    market = ragged(12, days=30, stocks=4, nb=8)
    dense = grid_of(market)
    with using(*OWN):
        spread, lottery = (values(dense, "day", name)[:, 0] for name in ("roll_spread", "lottery"))
        returns = values(dense, "day", "close_ret")[:, 0]
    for s in range(4):
        for d in range(30):
            r = dense.r[d, :, s].tolist()
            pairs = [r[j] * r[j - 1] for j in range(1, 8)]
            slow = 2 * math.sqrt(max(0.0, -sum(pairs) / 7)) if all(map(math.isfinite, pairs)) else math.nan
            np.testing.assert_allclose(spread[d, s], slow, rtol=TOLERANCE, atol=1e-9)
            before = [x for x in returns[max(0, d - 20) : d, s].tolist() if math.isfinite(x)]
            now = float(returns[d, s])
            known = math.isfinite(now) and len(before) >= 10
            np.testing.assert_array_equal(lottery[d, s], max(now, *before) if known else math.nan)
    assert (spread > 0).any()
    assert np.isfinite(lottery).any()
