from datetime import date

import polars as pl
import pytest

from polygrain.errors import DataError
from polygrain.market.calendar import Calendar, month_of, months_between, trading_days

DAYS = (date(2024, 12, 30), date(2024, 12, 31), date(2025, 1, 2), date(2025, 1, 3), date(2025, 2, 5))
CALENDAR = Calendar(DAYS)


def test_months() -> None:
    assert month_of(date(2025, 1, 2)) == "2025-01"
    assert months_between(date(2024, 11, 30), date(2025, 2, 1)) == ("2024-11", "2024-12", "2025-01", "2025-02")
    assert months_between(date(2025, 1, 31), date(2025, 1, 1)) == ("2025-01",)
    assert months_between(date(2025, 2, 1), date(2025, 1, 1)) == ()


def test_trading_days_of_frames() -> None:
    first = pl.DataFrame({"date": [DAYS[3], DAYS[0], DAYS[0]]})
    second = pl.DataFrame({"date": [DAYS[2], DAYS[3]]})
    assert trading_days(first, second) == (DAYS[0], DAYS[2], DAYS[3])
    assert trading_days() == ()


def test_counting_along_the_days() -> None:
    assert [CALENDAR.number(day) for day in DAYS] == [0, 1, 2, 3, 4]
    assert CALENDAR.shift(DAYS[1], 1) == DAYS[2]
    assert CALENDAR.shift(DAYS[4], -4) == DAYS[0]
    assert CALENDAR.shift(DAYS[2], 0) == DAYS[2]
    assert CALENDAR.days_before("2025-02", 3) == DAYS[1:4]
    assert CALENDAR.days_before("2025-01", 20) == DAYS[:2]
    assert CALENDAR.days_before("2024-12", 5) == ()
    assert CALENDAR.days_before("2025-01", 0) == ()


def test_refusals() -> None:
    with pytest.raises(DataError, match=r"^calendar: 2025-01-01 is not a trading day of the data$"):
        CALENDAR.number(date(2025, 1, 1))
    with pytest.raises(
        DataError, match=r"^calendar: \+1 trading days from 2025-02-05 lies outside 2024-12-30\.\.2025-02-05$"
    ):
        CALENDAR.shift(DAYS[4], 1)
    with pytest.raises(DataError, match=r"^calendar: 2025-03 has no trading day in the data$"):
        CALENDAR.days_before("2025-03", 1)
    with pytest.raises(DataError, match=r"^calendar: 2024-12-30 does not come after 2024-12-31; "):
        Calendar((DAYS[1], DAYS[0]))
