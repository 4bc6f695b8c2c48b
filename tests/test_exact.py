from dataclasses import replace
from datetime import date, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_markets import quotes_of, random_quotes, tape_of
from reference_fen import Slow

from polygrain.errors import ConfigError, DataError
from polygrain.execution.exact import ExactLedger, Trade
from polygrain.execution.fees import Charges
from polygrain.execution.fills import FILLS, Fill
from polygrain.execution.quotes import Quotes
from polygrain.market.rules import load_rules
from polygrain.store.panel import Array, Axes

RULES = load_rules()
VWAP = FILLS["t1_vwap"]
MAIN, STAR = "600000.SH", "688001.SH"


def listed(quotes: Quotes, symbols: tuple[str, ...], first: date = date(2024, 1, 2), step: int = 1) -> Quotes:
    """The same market under these symbols, from the day `first` on."""
    days = tuple(first + timedelta(step * i) for i in range(len(quotes.axes.days)))
    return replace(quotes, axes=Axes(days, symbols))


def ledger(quotes: Quotes, *, yuan: int = 1_000_000, fill: Fill = VWAP, commission: float = 0.00025) -> ExactLedger:
    return ExactLedger(quotes, fill, RULES, capital_fen=100 * yuan, commission=commission)


def flat(days: int, *prices: float) -> Array:
    return np.tile(np.array(prices, dtype=float), (days, 1))


def rough_quotes(seed: int, days: int, stocks: int, first: date, *, step: int = 1, splits: float = 0.05) -> Quotes:
    """A random market of all four boards; average prices off the fen, some factors off the whole share."""
    generator = np.random.default_rng(seed)
    quotes = random_quotes(generator, days, stocks, splits=splits)
    codes = ("300%03d.SZ", "600%03d.SH", "688%03d.SH", "920%03d.BJ")
    symbols = tuple(sorted(codes[i % 4] % i for i in range(stocks)))
    shape = quotes.close.shape
    steps = np.where(
        generator.random(shape) < splits / 2, generator.choice([1.0123, 1.3, 0.1], shape, p=[0.5, 0.4, 0.1]), 1
    )
    factor = np.round(quotes.factor * np.cumprod(steps, axis=0), 6)
    vwap = quotes.vwap * (1 + 1e-4 * generator.random(shape))
    return listed(replace(quotes, factor=factor, vwap=vwap), symbols, first, step)


def random_weights(generator: np.random.Generator, quotes: Quotes, day: int) -> Array:
    """Half of the stocks that are listed on `day`; sometimes a part stays in cash."""
    chosen = (generator.random(len(quotes.axes.symbols)) < 0.5) & (quotes.last_day > day)
    weights = generator.random(len(chosen)) * chosen
    return weights / max(weights.sum(), 1e-9) * generator.choice([1.0, 0.6])


def test_a_main_board_purchase_and_its_sale_on_both_sides_of_the_halved_stamp_duty() -> None:
    # .5 of 1,000,000 at 10.00 is 50,000 shares; at 10.123 they cost 506,150.00, a transfer fee of .00001 = 5.0615 →
    # 5.06 and a commission of .00025 = 126.5375 → 126.54.
    for first, stamp_duty in ((date(2023, 8, 25), 506_15), (date(2023, 8, 26), 253_08)):
        quotes = listed(quotes_of(flat(3, 10), vwap=flat(3, 10.123)), (MAIN,), first)
        book = ledger(quotes)
        orders = book.orders(0, np.array([0.5]))
        assert orders.tolist() == [50_000]
        assert book.fill(1, orders) == [Trade(1, 0, 50_000, 506_150_00, Charges(0, 5_06, 126_54))]
        assert book.cash == 1_000_000_00 - 506_150_00 - 5_06 - 126_54
        assert book.worth(1) == book.cash + 500_000_00
        weights, cash = book.weights(1)
        assert (weights.tolist(), cash) == ([500_000_00 / book.worth(1)], book.cash / book.worth(1))
        # Sold on day 2: 2023-08-27 at .001 = 506.15, 2023-08-28 at .0005 = 253.075 → 253.08.
        sales = book.fill(2, book.orders(1, np.array([0.0])))
        assert sales == [Trade(2, 0, -50_000, 506_150_00, Charges(stamp_duty, 5_06, 126_54))]
        assert (book.cash, book.shares.tolist()) == (1_000_000_00 - 2 * (5_06 + 126_54) - stamp_duty, [0])


def test_star_takes_two_hundred_shares_and_then_single_ones() -> None:
    book = ledger(listed(quotes_of(flat(6, 30)), (STAR,)), yuan=100_000)
    # .1 of 100,000 at 30.00 is 333 shares and a third. 199 are no order.
    orders = book.orders(0, np.array([0.1]))
    assert orders.tolist() == [333]
    (bought,) = book.fill(1, orders)
    assert (bought.shares, bought.amount, bought.charges) == (333, 9_990_00, Charges(0, 10, 5_00))
    assert book.fill(2, np.array([199])) == []
    assert book.fill(3, np.array([-199])) == []
    assert [trade.shares for trade in book.fill(4, np.array([-250]))] == [-250]
    # 83 are left: a remainder below 200 goes whole.
    assert book.orders(4, np.array([0.01])).tolist() == [0]
    assert [trade.shares for trade in book.fill(5, np.array([-83]))] == [-83]


def test_a_small_order_pays_five_yuan() -> None:
    book = ledger(listed(quotes_of(flat(2, 10)), (MAIN,)), yuan=2_000)
    # 100 shares for 1,000.00: .00025 of it is 25 fen.
    assert book.fill(1, np.array([100])) == [Trade(1, 0, 100, 1_000_00, Charges(0, 1, 5_00))]
    assert book.cash == 2_000_00 - 1_000_00 - 5_01


def test_buys_beyond_the_cash_are_scaled_together() -> None:
    # 10,000 yuan; wanted 600 shares each at 10 and at 20, 18,000 and fees. From λ = 2/3 on it would be 400 each and
    # 12,000; at .666666 it is 300 each, 9,000.00 and fees of 10.09; the rest stays cash.
    book = ledger(listed(quotes_of(flat(2, 10, 20)), ("600000.SH", "600001.SH")), yuan=10_000)
    trades = book.fill(1, np.array([600, 600]))
    assert [(trade.shares, trade.amount) for trade in trades] == [(300, 3_000_00), (300, 6_000_00)]
    assert book.cash == 10_000_00 - 9_000_00 - (3 + 5_00) - (6 + 5_00)


def test_sales_pay_for_buys_and_what_is_locked_waits() -> None:
    close = flat(3, 10, 10)
    for side in ("up", "down"):
        limit = np.array([[np.nan] * 2, [np.nan] * 2, [np.nan, 10.0] if side == "up" else [10.0, np.nan]])
        quotes = quotes_of(close, up=limit) if side == "up" else quotes_of(close, down=limit)
        book = ledger(listed(quotes, ("600000.SH", "600001.SH")), yuan=10_100)
        book.fill(1, np.array([1000, 0]))
        trades = book.fill(2, np.array([-1000, 900]))
        assert [(trade.column, trade.shares) for trade in trades] == ([(0, -1000)] if side == "up" else [])


def test_a_bonus_issue_makes_an_odd_lot_that_is_sold_whole() -> None:
    # Ten for thirteen on day 2, and again on day 3: 1,000, 1,300, 1,690 shares.
    factor = np.array([[1.0], [1.0], [1.3], [1.69], [1.69], [1.69]])
    close = np.array([[13.0], [13.0], [10.0], [7.69], [7.69], [7.69]])
    book = ledger(listed(quotes_of(close, factor=factor), (MAIN,)), yuan=20_000)
    book.fill(1, np.array([1000]))
    assert book.worth(2) == book.cash + 1_300 * 10_00
    assert book.worth(3) == book.cash + 1_690 * 7_69
    assert [trade.shares for trade in book.fill(4, np.array([-1_689]))] == [-1_600]
    assert [trade.shares for trade in book.fill(5, np.array([-90]))] == [-90]
    assert [payment.amount for payment in book.payments] == [0, 0]


def test_the_fraction_of_a_dividend_is_paid_at_the_reference_price() -> None:
    # f 1 → 1.03: 250 STAR shares are 257.5. The last close of 10.31 is 10.0097… in the new terms, half of it 5.00485….
    factor = np.array([[1.0], [1.0], [1.03]])
    close = np.array([[10.31], [10.31], [10.5]])
    book = ledger(listed(quotes_of(close, factor=factor), (STAR,)), yuan=10_000)
    book.fill(1, np.array([250]))
    before = book.cash
    assert book.worth(2) == before + 5_00 + 257 * 10_50
    assert [(payment.day, payment.cause, payment.amount) for payment in book.payments] == [(2, "fraction", 5_00)]


def test_an_order_is_restated_overnight_as_the_holding_is() -> None:
    # Two for one on day 3. All of 1,000 is all of 2,000; 500 bought are 1,000.
    factor = np.array([[1.0, 1.0]] * 3 + [[2.0, 2.0]])
    close = np.array([[10.0, 10.0]] * 3 + [[5.0, 5.0]])
    book = ledger(listed(quotes_of(close, factor=factor), ("600000.SH", "600001.SH")), yuan=20_000)
    book.fill(1, np.array([1000, 0]))
    orders = book.orders(2, np.array([0.0, 0.25]))
    assert orders.tolist() == [-1000, 400]
    assert [trade.shares for trade in book.fill(3, orders)] == [-2000, 800]


def test_a_suspended_stock_stands_at_its_last_close_in_the_day_s_terms() -> None:
    close = np.array([[10.0], [10.01], [np.nan], [np.nan], [6.0]])
    factor = np.array([[1.0], [1.0], [1.0], [2.0], [2.0]])
    book = ledger(listed(quotes_of(close, factor=factor), (MAIN,)), yuan=1_500)
    book.fill(1, np.array([100]))
    assert book.worth(2) == book.cash + 1_001_00
    # 200 shares at 5.005.
    assert book.worth(3) == book.cash + 1_001_00
    assert book.fill(3, np.array([-200])) == []
    assert book.worth(4) == book.cash + 1_200_00


def test_a_delisted_stock_becomes_cash_on_its_last_day() -> None:
    # Day 2 is the last day, without a trade: 100 shares at day 1's close of 8.00.
    close = np.array([[10.0], [8.0], [np.nan], [np.nan]])
    age = np.array([[9], [9], [9], [0]], np.int32)
    book = ledger(listed(quotes_of(close, age=age), (MAIN,)), yuan=1_500)
    book.fill(1, np.array([100]))
    before = book.cash
    assert (book.worth(1), book.shares.tolist()) == (before + 800_00, [100])
    assert book.weights(2)[1] == 1.0
    assert (book.cash, book.shares.tolist()) == (before + 800_00, [0])
    assert [(payment.day, payment.cause, payment.amount) for payment in book.payments] == [(2, "delisting", 800_00)]
    assert book.worth(3) == before + 800_00


def test_a_share_bought_on_a_day_cannot_be_sold_on_it() -> None:
    quotes = listed(quotes_of(flat(3, 10)), (MAIN,))
    assert RULES.sellable_after(quotes.axes.days[0]) == 1
    for fill in FILLS.values():
        book = ledger(quotes, fill=fill)
        book.fill(1, np.array([100]))
        with pytest.raises(ValueError, match="one fill a day"):
            book.fill(1, np.array([-100]))
        assert [trade.shares for trade in book.fill(2, np.array([-100]))] == [-100]


def test_a_sale_that_would_cost_more_than_it_brings_is_not_made() -> None:
    # f 1 → .03: 100 shares are 3, worth 1.00 each; the commission is 5.00.
    factor = np.array([[1.0], [1.0], [0.03], [0.03]])
    close = np.array([[0.03], [0.03], [1.0], [2.0]])
    book = ledger(listed(quotes_of(close, factor=factor), (MAIN,)), yuan=10)
    book.fill(1, np.array([100]))
    before = book.cash
    assert book.fill(2, np.array([-100])) == []
    assert (book.cash, book.shares.tolist()) == (before, [3])
    # At 2.00 it brings 6.00 − 5.00 − 0 of stamp duty (.003 → 0).
    assert [trade.flow for trade in book.fill(3, np.array([-3]))] == [1_00]


def test_a_weight_below_a_share_is_no_holding_and_the_weight_held_is_no_trade() -> None:
    book = ledger(listed(quotes_of(flat(3, 10)), (MAIN,)))
    book.fill(1, np.array([1000]))
    # 5 of a million yuan is half a share.
    assert book.orders(1, np.array([5e-6])).tolist() == [-1000]
    weights, _ = book.weights(1)
    assert book.orders(1, weights).tolist() == [0]


def test_what_is_refused() -> None:
    quotes = listed(quotes_of(np.array([[10.0, np.nan], [10.0, np.nan], [10.0, 5.0]])), (MAIN, "600001.SH"))
    with pytest.raises(
        ConfigError, match=r"^ledger\.commission: 0\.0031 is not between 0 and 0\.003, the most allowed$"
    ):
        ledger(quotes, commission=0.0031)
    with pytest.raises(ConfigError, match=r"^ledger\.capital: the ledger starts without cash; give it some yuan$"):
        ledger(quotes, yuan=0)
    with pytest.raises(DataError, match="'AAPL' is not canonical"):
        ledger(listed(quotes, ("600000.SH", "AAPL")))
    book = ledger(quotes)
    with pytest.raises(DataError, match=r"^600001\.SH on 2024-01-03: it has no close yet; give it no weight$"):
        book.orders(1, np.array([0.5, 0.5]))
    assert book.orders(2, np.array([0.5, 0.5])).tolist() == [50_000, 100_000]
    with pytest.raises(ValueError, match="day 1 lies before day 2"):
        book.worth(1)
    with pytest.raises(ValueError, match="day 0 lies before the first decision's fill"):
        book.fill(0, np.array([100, 0]))


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    name=st.sampled_from(sorted(FILLS)),
    yuan=st.sampled_from([3_000, 100_000, 10**7, 10**9]),
    commission=st.sampled_from([0.0, 0.00025, 0.003]),
    every=st.integers(1, 4),
    first=st.sampled_from([date(2022, 4, 20), date(2023, 8, 19)]),
)
def test_equal_to_a_slow_loop(seed: int, name: str, yuan: int, commission: float, every: int, first: date) -> None:
    quotes, generator, fill = rough_quotes(seed, 20, 6, first), np.random.default_rng(seed), FILLS[name]
    book = ledger(quotes, yuan=yuan, fill=fill, commission=commission)
    slow = Slow(
        tape_of(quotes), list(quotes.axes.symbols), list(quotes.axes.days), fill.price, fill.lag, 100 * yuan,
        Fraction(str(commission)),
    )  # fmt: skip
    looked_at = generator.random(20) < 0.5
    pending: Array | None = None
    for day in range(20):
        if day > 0:
            slow.open(day)
        if fill.lag == 1 and pending is not None:
            compare(book.fill(day, pending), slow.fill(day, pending.tolist()))
        slow.close(day)
        pending = None
        if day % every == 0:
            weights = random_weights(generator, quotes, day)
            pending = book.orders(day, weights)
            assert pending.tolist() == slow.wanted(day, weights.tolist())
            if fill.lag == 0:
                compare(book.fill(day, pending), slow.fill(day, pending.tolist()))
        if looked_at[day]:
            assert book.worth(day) == slow.worth(day)
    slow.close(19)
    assert (book.worth(19), book.cash) == (slow.worth(19), slow.cash)
    assert [(one.day, one.column, one.amount) for one in book.payments] == slow.payments
    assert {i: held for i, held in enumerate(book.shares.tolist()) if held} == slow.shares


def compare(trades: list[Trade], orders: list) -> None:
    assert [
        (t.day, t.column, t.shares, t.amount, t.charges.stamp_duty, t.charges.transfer_fee, t.charges.commission)
        for t in trades
    ] == [(o.day, o.stock, o.shares, o.amount, o.stamp, o.transfer, o.commission) for o in orders]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 18))
def test_nothing_depends_on_a_later_day(seed: int, cut: int) -> None:
    quotes, other = (rough_quotes(one, 20, 6, date(2024, 1, 2)) for one in (seed, seed + 1))

    def until(panel: Array, future: Array) -> Array:
        return np.concatenate([panel[: cut + 1], future[cut + 1 :]])

    names = ("open", "high", "low", "close", "vwap", "factor", "up_limit", "down_limit", "traded")
    changed = replace(quotes, **{name: until(getattr(quotes, name), getattr(other, name)) for name in names})
    books = [ledger(market, yuan=10**6) for market in (quotes, changed)]
    for day in range(cut):
        weights = random_weights(np.random.default_rng(day), quotes, day)
        one, two = (book.fill(day + 1, book.orders(day, weights)) for book in books)
        assert one == two
    assert books[0].worth(cut) == books[1].worth(cut)
    assert books[0].payments == books[1].payments


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), yuan=st.integers(1_000, 10**8))
def test_buys_are_scaled_by_the_largest_factor_that_the_cash_allows(seed: int, yuan: int) -> None:
    generator = np.random.default_rng(seed)
    prices = np.round(generator.uniform(1, 100, 8), 3)
    symbols = tuple(sorted([f"60000{i}.SH" for i in range(4)] + [f"68800{i}.SH" for i in range(4)]))
    quotes = listed(quotes_of(flat(2, *np.round(prices, 2)), vwap=flat(2, *prices)), symbols)
    book = ledger(quotes, yuan=yuan)
    wanted = (generator.uniform(0, 0.5, 8) * yuan / prices).astype(int)
    bought = {trade.column: trade.shares for trade in book.fill(1, wanted)}
    assert book.cash >= 0
    # No basket of a hundredth's λ that fits costs more, and none that costs less does not fit.
    spent = 100 * yuan - book.cash
    baskets = [scaled_cost(wanted.tolist(), prices.tolist(), symbols, parts) for parts in range(0, 1_000_001, 10_000)]
    fitting = [cost for cost in baskets if cost <= 100 * yuan]
    assert max(fitting) <= spent <= min([cost for cost in baskets if cost > 100 * yuan], default=spent)
    assert all(shares <= wanted[column] for column, shares in bought.items())


def scaled_cost(wanted: list[int], prices: list[float], symbols: tuple[str, ...], parts: int) -> int:
    """Fen that the buys cost at λ = parts / 1,000,000, from 2024 on."""
    total = 0
    for shares, price, symbol in zip(wanted, prices, symbols):
        asked = shares * parts // 1_000_000
        count = (asked if asked >= 200 else 0) if symbol.startswith("688") else asked // 100 * 100
        amount = int(count * Fraction(str(price)) * 100 + Fraction(1, 2))
        fee = int(Fraction(amount, 100_000) + Fraction(1, 2)) + max(500, int(Fraction(amount, 4000) + Fraction(1, 2)))
        total += amount + fee if count else 0
    return total


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_held_grows_as_adjusted_prices_do(seed: int) -> None:
    # Held through splits and dividends, a share's worth moves by f · close. What each event pays out in cash, or makes
    # up for, is below 1.05 shares, and cash no longer grows: the bound is that at the dearest price, an event.
    generator = np.random.default_rng(seed)
    steps = np.where(generator.random((30, 1)) < 0.3, generator.choice([1.0123, 1.3, 2.0], (30, 1)), 1.0)
    steps[:2] = 1.0
    factor = np.cumprod(steps, axis=0)
    close = np.round(100 * np.exp(generator.normal(0, 0.05, (30, 1)).cumsum(axis=0)) / factor + 1, 2)
    quotes = listed(quotes_of(close, factor=factor), (STAR,))
    book = ledger(quotes, yuan=10**9)
    book.fill(1, np.array([1_000_000]))
    cash, bound = book.cash, 1.05 * 100 * (close * factor).max() * (steps != 1.0).sum()
    for day in range(1, 30):
        # 100 million fen a yuan of price.
        assert abs(book.worth(day) - cash - 1e8 * close[day, 0] * factor[day, 0]) <= bound + 1


def test_every_fen_of_a_hundred_thousand_trades_is_accounted_for() -> None:
    """After each fill cash before = cash + Σ charges + Σ buys − Σ sales; in the end Σ of all flows = cash, exactly.

    The same trades kept in floats, rounded to the fen at each step, end elsewhere: the control. The dated rules are
    checked on every trade.
    """
    quotes, generator = rough_quotes(7, 560, 400, date(2022, 1, 1), step=2, splits=0.002), np.random.default_rng(7)
    book = ledger(quotes, yuan=10**8)
    count, floating = 0, 1e8
    flows = [100 * 10**8]
    last = len(quotes.axes.days) - 1
    for day in range(last):
        weights = random_weights(generator, quotes, day) if day < last - 1 else np.zeros(400)
        paid, before = len(book.payments), book.cash
        orders, held = book.orders(day, weights), book.shares
        trades = book.fill(day + 1, orders)
        received = [payment.amount for payment in book.payments[paid:]]
        bought = sum(trade.amount for trade in trades if trade.shares > 0)
        sold = sum(trade.amount for trade in trades if trade.shares < 0)
        assert book.cash + sum(trade.charges.total for trade in trades) + bought - sold == before + sum(received)
        assert book.cash >= 0
        floating += sum(payment / 100 for payment in received)
        for trade in trades:
            check_rules(quotes, trade, held)
            floating += in_floats(quotes, trade)
        flows += [trade.flow for trade in trades] + received
        count += len(trades)
    assert count >= 100_000
    assert {payment.cause for payment in book.payments} == {"fraction", "delisting"}
    assert sum(flows) == book.cash
    assert abs(round(floating * 100) - book.cash) > 1


def in_floats(quotes: Quotes, trade: Trade) -> float:
    """The flow of a trade in yuan, as a ledger of floats rounds it."""
    day, price = quotes.axes.days[trade.day], float(quotes.vwap[trade.day, trade.column])
    amount = round(abs(trade.shares) * price, 2)
    transfer = round(amount * (0.00002 if day < date(2022, 4, 29) else 0.00001), 2)
    commission = max(round(amount * 0.00025, 2), 5.0)
    if trade.shares > 0:
        return -amount - transfer - commission
    return amount - round(amount * (0.001 if day < date(2023, 8, 28) else 0.0005), 2) - transfer - commission


def check_rules(quotes: Quotes, trade: Trade, held: Array) -> None:
    """Filled at the average price and off the locked side; no more sold than held before; no fee below the law's."""
    day, column = trade.day, trade.column
    high, low = quotes.high[day, column], quotes.low[day, column]
    assert abs(trade.amount - 100 * abs(trade.shares) * quotes.vwap[day, column]) <= 0.5 + 1e-12 * trade.amount
    if trade.shares > 0:
        assert not (high == low and low >= quotes.up_limit[day, column])
    else:
        assert not (high == low and high <= quotes.down_limit[day, column])
        assert -trade.shares <= held[column] * quotes.factor[day, column] / quotes.factor[day - 1, column] * (1 + 2e-6)
    # Half a fen below amount / n at most, in integers.
    stamp = 1000 if quotes.axes.days[day] < date(2023, 8, 28) else 2000
    assert trade.shares > 0 or (2 * trade.charges.stamp_duty + 1) * stamp >= 2 * trade.amount
    assert trade.charges.commission >= 500
    assert (2 * trade.charges.commission + 1) * 4000 >= 2 * trade.amount
