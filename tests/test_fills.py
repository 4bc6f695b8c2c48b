import numpy as np
import pytest
from random_markets import quotes_of

from polygrain.errors import ConfigError
from polygrain.execution.fills import FILLS, buyable, fill_named, fill_price, sellable
from polygrain.store.panel import Array

# One day of open, high, low, close against limits 9.00 and 11.00, and on which fills it can be bought and sold.
DAYS = {
    "free": ((10, 10.5, 9.5, 10), "ocv", "ocv"),
    "up all day": ((11, 11, 11, 11), "", "ocv"),
    "up, then opened": ((11, 11, 10.2, 10.5), "cv", "ocv"),
    "up touched": ((10, 11, 9.8, 10.5), "ocv", "ocv"),
    "closed up": ((10, 11, 9.8, 11), "ov", "ocv"),
    "down all day": ((9, 9, 9, 9), "ocv", ""),
    "down, then opened": ((9, 9.5, 9, 9.2), "ocv", "cv"),
    "down touched": ((10, 10.1, 9, 9.5), "ocv", "ocv"),
    "closed down": ((10, 10.1, 9, 9), "ocv", "ov"),
    "one price within": ((10, 10, 10, 10), "ocv", "ocv"),
}
LETTERS = {"o": "t1_open", "c": "t1_close", "v": "t1_vwap"}


def one(value: float) -> Array:
    return np.array([[value]], dtype=float)


@pytest.mark.parametrize("case", DAYS)
@pytest.mark.parametrize("letter", LETTERS)
def test_locked_sides(case: str, letter: str) -> None:
    (open, high, low, close), buy, sell = DAYS[case]
    quotes = quotes_of(one(close), open=one(open), high=one(high), low=one(low), up=one(11), down=one(9))
    fill = FILLS[LETTERS[letter]]
    assert buyable(quotes, fill)[0, 0] == (letter in buy)
    assert sellable(quotes, fill)[0, 0] == (letter in sell)


def test_t0_close_is_the_close_of_the_decision() -> None:
    assert FILLS["t0_close"].lag == 0
    quotes = quotes_of(one(11), up=one(11), down=one(9))
    assert not buyable(quotes, FILLS["t0_close"])[0, 0]
    assert sellable(quotes, FILLS["t0_close"])[0, 0]


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS)
def test_without_limits_or_without_trades(fill: object) -> None:
    free = quotes_of(one(11))
    assert buyable(free, fill)[0, 0]
    assert sellable(free, fill)[0, 0]
    close = np.array([[10.0, 10.0], [np.nan, 10.0]])
    suspended = quotes_of(close)
    assert buyable(suspended, fill)[1].tolist() == [False, True]
    assert sellable(suspended, fill)[1].tolist() == [False, True]


def test_fill_price_is_adjusted() -> None:
    quotes = quotes_of(one(10), vwap=one(10.5), open=one(9.9), factor=one(2))
    assert fill_price(quotes, FILLS["t1_vwap"])[0, 0] == 21.0
    assert fill_price(quotes, FILLS["t1_open"])[0, 0] == 19.8
    assert fill_price(quotes, FILLS["t1_close"])[0, 0] == 20.0


def test_a_stock_without_an_average_price_is_not_traded_at_it() -> None:
    quotes = quotes_of(np.array([[10.0, 10.0]]), vwap=np.array([[np.nan, 10.0]]))
    assert buyable(quotes, FILLS["t1_vwap"])[0].tolist() == [False, True]
    assert sellable(quotes, FILLS["t1_vwap"])[0].tolist() == [False, True]
    assert buyable(quotes, FILLS["t1_open"])[0].tolist() == [True, True]


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r'^source.daily.amount: amount = "none" gives no vwap to fill at'):
        fill_price(quotes_of(one(10), vwap=one(np.nan)), FILLS["t1_vwap"])
    with pytest.raises(ConfigError, match=r"^fill: unknown fill 't3'; the fills are t0_close, t1_vwap, t1_open, t1_c"):
        fill_named("t3")
