from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from polygrain.execution.quotes import LISTED_BEFORE, Quotes, quotes
from polygrain.market.rules import Rules, load_rules
from polygrain.store.panel import carried

RULES = load_rules()
# Monday to Friday, and the Monday after.
DAYS = tuple(date(2024, 3, 4) + timedelta(i) for i in (0, 1, 2, 3, 4, 7))


class Tables:
    """The read side of a store, from frames."""

    def __init__(self, rows: list[dict[str, object]], listings: list[dict[str, object]] | None = None) -> None:
        self.frame = pl.DataFrame(rows, infer_schema_length=None)
        self.listings = None if listings is None else pl.DataFrame(listings, infer_schema_length=None)
        self.days = DAYS
        self.symbols = tuple(sorted(self.frame["symbol"].unique()))
        self.months = ("2024-03",)

    def daily(self, months: list[str]) -> pl.DataFrame:
        return self.frame.filter(pl.col("date").dt.strftime("%Y-%m").is_in(months))

    def table(self, name: str) -> pl.DataFrame | None:
        return {"listings": self.listings}[name]


def row(symbol: str, day: int, close: float, **more: object) -> dict[str, object]:
    plain = {"open": close, "high": close, "low": close, "volume": 1000, "factor": 1.0, "suspended": False}
    amounts = {"vwap": close, "amount": close * 1000}
    return {"symbol": symbol, "date": DAYS[day], "close": close} | plain | amounts | more


def halted(symbol: str, day: int, close: float, **more: object) -> dict[str, object]:
    return row(symbol, day, close, volume=0, suspended=True, vwap=None, amount=None, **more)


def read(
    rows: list[dict[str, object]], listings: list[dict[str, object]] | None = None, rules: Rules | None = RULES
) -> Quotes:
    return quotes(Tables(rows, listings), rules)


def test_a_suspended_day_is_missing_and_valued_at_the_last_close() -> None:
    # A two for one split during the suspension doubles the factor; the valuation stays the last adjusted close.
    rows = [row("600000.SH", 0, 10.0), halted("600000.SH", 1, 10.0), halted("600000.SH", 2, 5.0, factor=2.0)]
    result = read([*rows, *(row("600000.SH", day, 5.5, factor=2.0) for day in (3, 4, 5))])
    np.testing.assert_array_equal(result.close[:, 0], [10, np.nan, np.nan, 5.5, 5.5, 5.5])
    np.testing.assert_array_equal(result.traded[:, 0], [True, False, False, True, True, True])
    np.testing.assert_array_equal(result.factor[:, 0], [1, 1, 2, 2, 2, 2])
    np.testing.assert_array_equal(result.valuation[:, 0], [10, 10, 10, 11, 11, 11])
    np.testing.assert_array_equal(result.adjusted("vwap")[:, 0], [10, np.nan, np.nan, 11, 11, 11])
    # Limits of day 3: reference 10 · 1/2 = 5.00 → 5.50 and 4.50; of day 4: 5.50 → 6.05 and 4.95.
    np.testing.assert_allclose(result.up_limit[:, 0], [np.nan, 11, 5.5, 5.5, 6.05, 6.05], rtol=1e-15)
    np.testing.assert_allclose(result.down_limit[:, 0], [np.nan, 9, 4.5, 4.5, 4.95, 4.95], rtol=1e-15)


def test_days_without_volume_or_without_a_row_did_not_trade() -> None:
    rows = [row("600000.SH", day, 10.0, volume=0 if day == 1 else 1000) for day in (0, 1, 3, 4, 5)]
    result = read(rows)
    assert result.traded[:, 0].tolist() == [True, False, False, True, True, True]
    assert np.isnan(result.amount[:3, 0]).tolist() == [False, True, True]


def test_ages_with_listings() -> None:
    rows = [row(symbol, day, 10.0) for symbol in ("000001.SZ", "300001.SZ", "600000.SH") for day in range(6)]
    listings = [
        {"symbol": "000001.SZ", "listed": DAYS[1], "delisted": DAYS[4]},
        {"symbol": "300001.SZ", "listed": date(2024, 2, 28), "delisted": None},
        {"symbol": "600000.SH", "listed": date(2024, 3, 4), "delisted": date(2024, 3, 9)},
    ]
    result = read(rows, listings)
    assert result.age[:, 0].tolist() == [0, 1, 2, 3, 4, 0]
    # Wednesday, Thursday and Friday came before.
    assert result.age[:, 1].tolist() == [4, 5, 6, 7, 8, 9]
    assert result.age[:, 2].tolist() == [1, 2, 3, 4, 5, 0]
    assert result.last_day.tolist() == [4, 6, 4]
    assert result.traded[:, 0].tolist() == [False, True, True, True, True, False]
    assert result.notes == (
        "3 daily rows lie before their stock's listing or after its delisting and are left out.",
        "No ST column: ST stocks are in U_t, and days on which they are locked at their own limits count as tradable.",
    )


def test_ages_without_listings() -> None:
    rows = [row("600000.SH", day, 10.0) for day in range(6)] + [row("600001.SH", day, 10.0) for day in (2, 3, 4)]
    result = read(rows)
    assert result.age[:, 0].tolist() == [LISTED_BEFORE + n for n in range(1, 7)]
    # That no row follows day 4 is not known on day 4: the stock stands at its last close.
    assert result.age[:, 1].tolist() == [0, 0, 1, 2, 3, 4]
    assert result.last_day.tolist() == [6, 6]
    assert result.notes[0].startswith("2 of 2 stocks have no listings row: listed from their first daily row;")


def test_st_narrows_the_band_and_is_carried_forward() -> None:
    rows = [row("600000.SH", day, 10.0, st=day == 2) for day in (0, 1, 2, 4, 5)]
    result = read(rows)
    assert result.st is not None
    assert result.st[:, 0].tolist() == [False, False, True, True, False, False]
    np.testing.assert_allclose(result.up_limit[:, 0], [np.nan, 11, 10.5, 10.5, 11, 11], rtol=1e-15)


def test_given_limits_win_where_they_are_given() -> None:
    rows = [row("600000.SH", day, 10.0, up_limit=10.8 if day == 2 else None, down_limit=9.3) for day in range(6)]
    result = read(rows)
    np.testing.assert_allclose(result.up_limit[:, 0], [np.nan, 11, 10.8, 11, 11, 11], rtol=1e-15)
    np.testing.assert_allclose(result.down_limit[:, 0], [9.3] * 6, rtol=1e-15)


def test_without_rules_there_are_no_limits_but_those_given() -> None:
    # Symbols that tell no exchange and no board.
    rows = [row("AAPL", day, 10.0) for day in range(6)] + [row("BRK.B", 0, 10.0)]
    listings = [{"symbol": "AAPL", "listed": date(2024, 1, 2)}, {"symbol": "BRK.B", "listed": date(2024, 1, 2)}]
    result = read(rows, listings, None)
    assert not np.isfinite(result.up_limit).any()
    assert not np.isfinite(result.down_limit).any()
    assert result.notes == ("Price limits are not assumed.",)
    given = read([one | {"up_limit": 10.8, "down_limit": None} for one in rows], listings, None)
    np.testing.assert_array_equal(given.up_limit[:, 0], [10.8] * 6)
    np.testing.assert_array_equal(given.up_limit[:, 1], [10.8, *[np.nan] * 5])
    assert not np.isfinite(given.down_limit).any()
    assert given.notes == ("Price limits are those of the daily table alone; none are assumed.",)


def test_a_band_that_prices_left_was_not_in_force() -> None:
    # Day 3 trades at 15 after 10: a relisting. Day 4: 16.51 over 16.50 is rounding of the factors, the limit stays.
    closes = [10, 10, 10, 15, 16.51, 16.0]
    result = read([row("600000.SH", day, close) for day, close in enumerate(closes)])
    assert np.isnan(result.up_limit[:, 0]).tolist() == [True, False, False, True, False, False]
    assert np.isnan(result.down_limit[:, 0]).tolist() == [True, False, False, True, False, False]


def test_a_new_listing_has_no_limit_at_first() -> None:
    rows = [row("600000.SH", day, 10.0) for day in range(6)] + [row("688001.SH", day, 10.0) for day in range(1, 6)]
    result = read(rows)
    assert np.isnan(result.up_limit[:, 1]).all()
    assert np.isfinite(result.up_limit[1:, 0]).all()


def test_the_order_of_rows_changes_nothing() -> None:
    rows = [row(symbol, day, 10.0 + day) for symbol in ("600000.SH", "600001.SH") for day in range(6)]
    first, second = read(rows), read(rows[::-1])
    np.testing.assert_array_equal(first.close, second.close)
    np.testing.assert_array_equal(first.up_limit, second.up_limit)


def test_carried_equals_a_plain_loop() -> None:
    generator = np.random.default_rng(0)
    values = np.where(generator.random((40, 7)) < 0.5, np.nan, generator.normal(size=(40, 7)))
    expected = values.tolist()
    for day in range(1, 40):
        for stock in range(7):
            if np.isnan(expected[day][stock]):
                expected[day][stock] = expected[day - 1][stock]
    np.testing.assert_array_equal(carried(values), expected)


@pytest.mark.parametrize("scale", [3.7, 1e-3])
def test_limits_do_not_depend_on_the_factors_scale(scale: float) -> None:
    generator = np.random.default_rng(2)
    closes = np.round(np.cumprod(1 + generator.uniform(-0.04, 0.04, 6)) * 8, 2)
    factors = [1, 1, 1.05, 1.05, 1.1, 2.2]

    def market(by: float) -> Quotes:
        return read([row("600000.SH", d, float(closes[d]), factor=factors[d] * by) for d in range(6)])

    np.testing.assert_array_equal(market(1.0).up_limit, market(scale).up_limit)
