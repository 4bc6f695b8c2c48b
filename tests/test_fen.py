from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygrain.errors import DataError
from polygrain.execution.fees import Charges, tariff
from polygrain.execution.fen import exactly, half_up, whole
from polygrain.execution.lots import purchase, sale
from polygrain.market.rules import load_rules

RULES = load_rules()
DAY = date(2025, 1, 2)
MAIN, CHINEXT, STAR, BEIJING = (RULES.lot_of(board, DAY) for board in ("main", "chinext", "star", "bse"))


def test_a_float_is_the_decimal_that_it_prints_as() -> None:
    assert exactly(0.1) == Fraction(1, 10)
    # The float below 1.7 would make 1,699 shares of 1,000 at ten for seventeen.
    assert Fraction(1.7) < exactly(1.7) == Fraction(17, 10)


@given(st.integers(0, 10**14), st.decimals(0, 1000, places=6))
def test_half_up(count: int, rate) -> None:
    exact = count * Fraction(rate)
    assert -Fraction(1, 2) < half_up(count, Fraction(rate)) - exact <= Fraction(1, 2)


def test_halves_go_up() -> None:
    assert [half_up(count, Fraction(1, 2)) for count in (0, 1, 2, 3, 5)] == [0, 1, 1, 2, 3]


def test_whole_makes_up_for_a_factor_s_last_digits() -> None:
    # Factors to six decimals: 1.713178 / 1.317829 is 1.3000002, and 1.713177 / 1.317829 is 1.2999995.
    assert whole(1000 * exactly(1.713178) / exactly(1.317829)) == 1300
    assert whole(1000 * exactly(1.713177) / exactly(1.317829)) == 1300
    assert whole(Fraction(12995, 10)) == 1299
    # At most a twentieth of a share.
    assert (whole(Fraction(10**9) - Fraction(1, 20)), whole(Fraction(10**9) - Fraction(6, 100))) == (10**9, 10**9 - 1)
    assert whole(Fraction(0)) == 0


@pytest.mark.parametrize(
    ("lot", "asked", "bought"),
    [
        (MAIN, 99, 0), (MAIN, 100, 100), (MAIN, 199, 100), (MAIN, 12_345, 12_300), (CHINEXT, 250, 200),
        (STAR, 199, 0), (STAR, 200, 200), (STAR, 201, 201), (BEIJING, 99, 0), (BEIJING, 101, 101),
    ],
)  # fmt: skip
def test_lots_of_buys(lot, asked: int, bought: int) -> None:
    assert purchase(asked, lot) == bought


@pytest.mark.parametrize(
    ("lot", "asked", "held", "sold"),
    [
        # 100 at ten for thirteen are 130: a hundred of them, or all.
        (MAIN, 129, 130, 100), (MAIN, 130, 130, 130), (MAIN, 30, 130, 0), (MAIN, 500, 130, 130), (MAIN, 1, 1, 1),
        (STAR, 250, 333, 250), (STAR, 199, 333, 0), (STAR, 82, 83, 0), (STAR, 83, 83, 83), (BEIJING, 101, 150, 101),
    ],
)  # fmt: skip
def test_lots_of_sales(lot, asked: int, held: int, sold: int) -> None:
    assert sale(asked, held, lot) == sold


@pytest.mark.parametrize(
    ("day", "stamp_duty", "transfer_fee"),
    [
        # Of 506,150.00 yuan .001 is 506.15, .0005 253.075 → 253.08, .00002 10.123 → 10.12, .00001 5.0615 → 5.06.
        (date(2015, 7, 31), 506_15, 0),
        (date(2015, 8, 1), 506_15, 10_12),
        (date(2022, 4, 28), 506_15, 10_12),
        (date(2022, 4, 29), 506_15, 5_06),
        (date(2023, 8, 27), 506_15, 5_06),
        (date(2023, 8, 28), 253_08, 5_06),
    ],
)
def test_charges_by_date(day: date, stamp_duty: int, transfer_fee: int) -> None:
    fees = tariff(RULES, day, 0.00025)
    # .00025 is 126.5375 → 126.54.
    assert fees.of(506_150_00, sale=True) == Charges(stamp_duty, transfer_fee, 126_54)
    assert fees.of(506_150_00, sale=False) == Charges(0, transfer_fee, 126_54)
    assert fees.of(506_150_00, sale=True).total == stamp_duty + transfer_fee + 126_54


def test_an_order_pays_five_yuan_of_commission_at_least() -> None:
    fees = tariff(RULES, DAY, 0.00025)
    # .00025 of 20,000 yuan is 5 yuan; of 20,020 it is 5.005 → 5.01.
    amounts = (1_000_00, 20_000_00, 20_020_00)
    assert [fees.of(amount, sale=False).commission for amount in amounts] == [5_00, 5_00, 5_01]


def test_fees_before_the_first_ones_known_are_refused() -> None:
    with pytest.raises(DataError, match="no stamp duty is known for 2008-09-18"):
        tariff(RULES, date(2008, 9, 18), 0.00025)
