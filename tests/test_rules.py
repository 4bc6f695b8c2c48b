from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest
import reference_limits as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from polygrain.errors import DataError
from polygrain.market.rules import limit_prices, load_rules, reference_price

RULES = load_rules()
DAY = timedelta(days=1)


@pytest.mark.parametrize("percent", [5, 10, 20, 30])
def test_limit_prices_equal_decimal_arithmetic_for_every_price(percent: int) -> None:
    prices = [f"{fen / 100:.2f}" for fen in range(100, 30_001)]
    assert len(prices) == 29_901
    up, down = limit_prices([float(price) for price in prices], percent, percent)
    assert up.tolist() == [float(reference.limit_price(price, percent)) for price in prices]
    assert down.tolist() == [float(reference.limit_price(price, -percent)) for price in prices]


def test_limit_prices_first_day_band() -> None:
    # 7.53 × 1.44 = 10.8432 → 10.84; 7.53 × .64 = 4.8192 → 4.82
    up, down = limit_prices(7.53, 44, 36)
    assert (float(up), float(down)) == (10.84, 4.82)


def test_limit_prices_one_tick() -> None:
    # .04 × 1.1 = .044 → .04, no move without the rule; with it .05 and .03; .01 stays .01 at the bottom
    up, down = limit_prices([0.04, 0.04, 0.01, 10.0], 10, 10, [False, True, True, True])
    np.testing.assert_array_equal(up, [0.04, 0.05, 0.02, 11.0])
    np.testing.assert_array_equal(down, [0.04, 0.03, 0.01, 9.0])


def test_limit_prices_are_nan_without_reference_or_limit() -> None:
    up, down = limit_prices([np.nan, 10.0, 10.0], [10, -1, 20], [10, -1, 20])
    np.testing.assert_array_equal(up, [np.nan, np.nan, 12.0])
    np.testing.assert_array_equal(down, [np.nan, np.nan, 8.0])


def test_reference_price_by_hand() -> None:
    # No event: the close itself. 10 for 3 bonus: 13.00 / 1.3 = 10.00. Cash .125 on 10.13: 10.005 → 10.01, half up.
    # The factor of a relisting, 12.34 × 2 = 24.68. Missing stays missing.
    price = reference_price(
        [8.37, 13.0, 10.13, 12.34, np.nan], [1.7, 1.0, 1.0, 2.0, 1.0], [1.7, 1.3, 10.13 / 10.005, 1.0, 1.0]
    )
    np.testing.assert_array_equal(price, [8.37, 10.0, 10.01, 24.68, np.nan])


# A dividend of shares of 1, .2, .25, .6; the second pair lies below the half by float32's own rounding.
@pytest.mark.parametrize(("before", "after"), [("1.3", "2.6"), ("1.1", "1.32"), ("1.7", "2.125"), ("1.1", "1.76")])
def test_reference_price_rounds_halves_up_with_float32_factors(before: str, after: str) -> None:
    closes = [f"{fen / 100:.2f}" for fen in range(100, 20_001)]
    price = reference_price([float(close) for close in closes], np.float32(before), np.float32(after))
    assert price.tolist() == [float(reference.reference_price(close, before, after)) for close in closes]


@given(
    st.integers(1, 200_000),
    st.integers(1, 50_000_000).map(lambda n: Decimal(n).scaleb(-6)),
    st.integers(1, 50_000_000).map(lambda n: Decimal(n).scaleb(-6)),
)
def test_reference_price_equals_decimal_arithmetic(fen: int, previous_factor: Decimal, factor: Decimal) -> None:
    close = f"{fen / 100:.2f}"
    exact = Decimal(close) * 100 * previous_factor / factor
    got = float(reference_price(float(close), float(previous_factor), float(factor)))
    want = float(reference.reference_price(close, str(previous_factor), str(factor)))
    # Within the tolerance for float32 factors below a half, both neighbours are right.
    near_half = abs(exact - exact.to_integral_value(rounding="ROUND_FLOOR") - Decimal("0.5")) <= exact * Decimal("2e-7")
    assert got == want or (near_half and abs(got - want) < 0.011)


# board, ST, exchange, first day of the rule, limit the day before and from that day on, for a stock of age 1000
CHANGES = [
    ("main", True, date(1998, 4, 22), (10, 10), (5, 5)),
    ("main", True, date(2026, 7, 6), (5, 5), (10, 10)),
    ("main", False, date(2026, 7, 6), (10, 10), (10, 10)),
    ("chinext", False, date(2020, 8, 24), (10, 10), (20, 20)),
    ("chinext", True, date(2020, 8, 24), (5, 5), (20, 20)),
]


@pytest.mark.parametrize(("board", "st", "since", "before", "after"), CHANGES)
def test_limit_rate_at_each_change(
    board: str, st: bool, since: date, before: tuple[int, int], after: tuple[int, int]
) -> None:
    rates = [RULES.limit_rate(board, st, 1000, since + shift * DAY) for shift in (-1, 0, 1)]
    assert rates == [before, after, after]


FIRSTS = [
    ("main", date(1996, 12, 16), (10, 10)),
    ("chinext", date(2009, 10, 30), (10, 10)),
    ("star", date(2019, 7, 22), (20, 20)),
    ("bse", date(2021, 11, 15), (30, 30)),
]


@pytest.mark.parametrize(("board", "since", "rate"), FIRSTS)
def test_limit_rate_from_the_first_day_of_a_board(board: str, since: date, rate: tuple[int, int]) -> None:
    assert [RULES.limit_rate(board, False, 1000, since + shift * DAY) for shift in (0, 1)] == [rate, rate]
    before = since - DAY
    with pytest.raises(DataError) as error:
        RULES.limit_rate(board, False, 1000, before)
    assert str(error.value) == (
        f"rules.toml: no price limit is known for board {board} on {before}; leave earlier rows out"
    )


@pytest.mark.parametrize("st", [True, False])
@pytest.mark.parametrize(("board", "rate"), [("star", (20, 20)), ("bse", (30, 30))])
def test_st_changes_nothing_on_star_and_bse(board: str, st: bool, rate: tuple[int, int]) -> None:
    assert RULES.limit_rate(board, st, 1000, date(2023, 5, 4)) == rate


# board, exchange, listing day, limits on trading days 1..6
LISTINGS = [
    ("main", "SH", date(2013, 12, 12), [None] + 5 * [(10, 10)]),
    ("main", "SH", date(2013, 12, 13), [(44, 36)] + 5 * [(10, 10)]),
    ("main", "SH", date(2013, 12, 16), [(44, 36)] + 5 * [(10, 10)]),
    ("main", "SZ", date(2013, 12, 16), [None] + 5 * [(10, 10)]),
    ("main", "SZ", date(2014, 6, 12), [None] + 5 * [(10, 10)]),
    ("main", "SZ", date(2014, 6, 13), [(44, 36)] + 5 * [(10, 10)]),
    ("main", None, date(2014, 6, 12), [None] + 5 * [(10, 10)]),
    ("main", None, date(2014, 6, 13), [(44, 36)] + 5 * [(10, 10)]),
    ("main", "SH", date(2023, 4, 6), [(44, 36)] + 5 * [(10, 10)]),
    ("main", "SZ", date(2023, 4, 7), [(44, 36)] + 5 * [(10, 10)]),
    ("main", "SZ", date(2023, 4, 10), [None] * 5 + [(10, 10)]),
    ("main", "SH", date(2023, 4, 11), [None] * 5 + [(10, 10)]),
    ("chinext", "SZ", date(2009, 10, 30), [None] + 5 * [(10, 10)]),
    ("chinext", "SZ", date(2014, 6, 12), [None] + 5 * [(10, 10)]),
    ("chinext", "SZ", date(2014, 6, 13), [(44, 36)] + 5 * [(10, 10)]),
    ("chinext", "SZ", date(2020, 8, 20), [(44, 36), (10, 10)] + 4 * [(20, 20)]),
    ("chinext", "SZ", date(2020, 8, 24), [None] * 5 + [(20, 20)]),
    ("chinext", "SZ", date(2020, 8, 25), [None] * 5 + [(20, 20)]),
    ("star", "SH", date(2019, 7, 22), [None] * 5 + [(20, 20)]),
    ("star", "SH", date(2019, 7, 23), [None] * 5 + [(20, 20)]),
    ("bse", "BJ", date(2021, 11, 15), [None] + 5 * [(30, 30)]),
    ("bse", "BJ", date(2021, 11, 16), [None] + 5 * [(30, 30)]),
]


@pytest.mark.parametrize(("board", "exchange", "listed", "limits"), LISTINGS)
def test_limits_of_the_first_six_days(
    board: str, exchange: str | None, listed: date, limits: list[tuple[int, int] | None]
) -> None:
    days = weekdays(listed, 6)
    assert [RULES.limit_rate(board, False, 1 + i, day, exchange=exchange) for i, day in enumerate(days)] == limits


def weekdays(first: date, count: int) -> list[date]:
    days = []
    while len(days) < count:
        if first.weekday() < 5:
            days.append(first)
        first += DAY
    return days


START = {"main": date(1998, 1, 5), "chinext": date(2009, 10, 30), "star": date(2019, 7, 22), "bse": date(2021, 11, 15)}
PLACES = [("main", "SH"), ("main", "SZ"), ("chinext", "SZ"), ("star", "SH"), ("bse", "BJ")]
TURNS = sorted({since for _, _, since, *_ in CHANGES} | {listed for _, _, listed, _ in LISTINGS})


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_limit_rates_equal_the_plain_rules(data: st.DataObject) -> None:
    days = weekdays(data.draw(st.sampled_from(TURNS)) - data.draw(st.integers(0, 12)) * DAY, 14)
    open_boards = [place for place in PLACES if START[place[0]] <= days[0]]
    stocks = data.draw(st.lists(st.sampled_from(open_boards), min_size=1, max_size=4))
    # The listing day's number among `days`; negative: listed that many trading days before, 14 and above: not yet.
    listed = data.draw(st.lists(st.integers(-8, 16), min_size=len(stocks), max_size=len(stocks)))
    st_ds = np.array(
        data.draw(
            st.lists(st.lists(st.booleans(), min_size=14, max_size=14), min_size=len(stocks), max_size=len(stocks))
        )
    ).T
    age_ds = np.maximum(np.arange(14)[:, None] - np.array(listed)[None, :] + 1, 0)
    up, down = RULES.limit_rates(
        [board for board, _ in stocks], st_ds, age_ds, days, exchanges=[exchange for _, exchange in stocks]
    )
    assert up.dtype == down.dtype == np.int16
    for column, (board, exchange) in enumerate(stocks):
        start = listed[column]
        listing_day = weekdays_before(days[0], -start) if start < 0 else (days + [date.max] * 3)[start]
        for row, day in enumerate(days):
            age = int(age_ds[row, column])
            want = (
                reference.limit_rate(board, exchange, bool(st_ds[row, column]), listing_day, age, day) if age else None
            )
            assert (int(up[row, column]), int(down[row, column])) == (want or (-1, -1)), (board, exchange, day, age)


def weekdays_before(day: date, count: int) -> date:
    while count:
        day -= DAY
        count -= day.weekday() < 5
    return day


def test_delisting_period() -> None:
    assert [RULES.delisting_rate("main", n, date(2020, 12, 30)) for n in (1, 2)] == [(10, 10), (10, 10)]
    assert [RULES.delisting_rate("main", n, date(2020, 12, 31)) for n in (1, 2)] == [None, (10, 10)]
    assert [RULES.delisting_rate("chinext", n, date(2021, 1, 4)) for n in (1, 2)] == [None, (20, 20)]
    assert [RULES.delisting_rate("star", n, date(2023, 6, 1)) for n in (1, 2)] == [None, (20, 20)]
    assert [RULES.delisting_rate("bse", n, date(2023, 6, 1)) for n in (1, 2)] == [None, (30, 30)]


def test_one_tick_by_exchange_and_day() -> None:
    days = [date(2011, 2, 25), date(2011, 2, 28), date(2023, 4, 7), date(2023, 4, 10)]
    got = RULES.at_least_one_tick(["SH", "SZ", "BJ"], days)
    assert got.tolist() == [[False, False, False], [False, True, False], [False, True, False], [True, True, False]]


FEES = [
    (date(2008, 9, 19), 0.001, None),
    (date(2015, 7, 31), 0.001, None),
    (date(2015, 8, 1), 0.001, 0.00002),
    (date(2022, 4, 28), 0.001, 0.00002),
    (date(2022, 4, 29), 0.001, 0.00001),
    (date(2023, 8, 27), 0.001, 0.00001),
    (date(2023, 8, 28), 0.0005, 0.00001),
    (date(2023, 8, 29), 0.0005, 0.00001),
]


@pytest.mark.parametrize(("day", "stamp", "transfer"), FEES)
def test_fees_by_day(day: date, stamp: float, transfer: float | None) -> None:
    fees = RULES.fees(day)
    assert (fees.stamp_sell, fees.transfer) == (stamp, transfer)
    assert (fees.commission_most, fees.commission_least) == (0.003, 5.0)


def test_fees_before_the_first_fact_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"^rules\.toml: no stamp duty is known for 2008-09-18; leave earlier days out$"
    ):
        RULES.fees(date(2008, 9, 18))


def test_closing_calls_and_session() -> None:
    assert RULES.session(date(2016, 1, 5)).minutes == 240
    assert RULES.closing_call_of("SH", date(2018, 8, 19)) is None
    assert RULES.closing_call_of("SH", date(2018, 8, 20)) == "14:57-15:00"
    assert RULES.closing_call_of("SZ", date(2006, 6, 30)) is None
    assert RULES.closing_call_of("SZ", date(2006, 7, 1)) == "14:57-15:00"
    assert RULES.closing_call_of("BJ", date(2021, 11, 15)) == "14:57-15:00"


def test_settlement_and_lots() -> None:
    assert RULES.sellable_after(date(2025, 1, 2)) == 1
    lots = {board: RULES.lot_of(board, date(2025, 1, 2)) for board in ("main", "chinext", "star", "bse")}
    assert {board: (lot.least, lot.step) for board, lot in lots.items()} == {
        "main": (100, 100), "chinext": (100, 100), "star": (200, 1), "bse": (100, 1)
    }  # fmt: skip


PILOTS = {"833819": "920819", "830799": "920799", "831445": "920445", "430489": "920489", "839167": "920167", "834682": "920682"}  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(("old", "new"), PILOTS.items())
def test_pilot_code_changes(old: str, new: str) -> None:
    old, new = f"{old}.BJ", f"{new}.BJ"
    for symbol in (old, new):
        assert RULES.symbol_on(symbol, date(2025, 4, 30)) == old
        assert RULES.symbol_on(symbol, date(2025, 5, 6)) == new
    assert RULES.symbol_on("600000.SH", date(2025, 5, 6)) == "600000.SH"


def test_every_fact_names_its_source() -> None:
    for kind in type(RULES).model_fields:
        facts = getattr(RULES, kind)
        assert facts, kind
        assert all(len(fact.source) > 15 for fact in facts), kind
