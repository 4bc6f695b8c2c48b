from typing import Literal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polygrain.errors import ConfigError
from polygrain.market.session import Session

A_SHARES = Session()
Stamp = Literal["start", "end"]
# Minutes of trading in order, as clock minutes at which each begins; sharing nothing with the module.
MINUTES = [*range(570, 690), *range(780, 900)]


def numbers(minutes: list[int | None], bar: str, stamp: Stamp, session: Session = A_SHARES) -> list[int | None]:
    frame = pl.DataFrame({"m": minutes}, schema={"m": pl.Int32})
    column = frame.select(session.bar_number(pl.col("m"), bar, stamp).alias("bar"))["bar"]
    assert column.dtype == pl.UInt16
    return column.to_list()


def clock(text: str) -> int:
    return int(text[:2]) * 60 + int(text[3:])


def test_minutes_and_bars() -> None:
    assert A_SHARES.minutes == 240
    assert [A_SHARES.minutes_of(bar) for bar in ("1min", "15min", "60min", "day", "week")] == [1, 15, 60, 240, 1200]
    assert [A_SHARES.bars_a_day(bar) for bar in ("1min", "15min", "60min", "day", "week")] == [240, 16, 4, 1, 1]
    assert [A_SHARES.bars_in(bar, "15min") for bar in ("15min", "30min", "60min", "day", "week")] == [1, 2, 4, 16, 80]
    assert A_SHARES.bars_in("week", "day") == 5


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("09:29", None, None),
        ("09:30", 0, None),
        ("09:45", 1, 0),
        ("11:15", 7, 6),
        ("11:30", None, 7),
        ("12:00", None, None),
        ("13:00", 8, None),
        ("13:15", 9, 8),
        ("14:45", 15, 14),
        ("15:00", None, 15),
        ("15:15", None, None),
        ("09:40", None, None),
        ("13:07", None, None),
    ],
)
def test_session_edges_at_15_minutes(text: str, start: int | None, end: int | None) -> None:
    assert numbers([clock(text)], "15min", "start") == [start]
    assert numbers([clock(text)], "15min", "end") == [end]


def test_null_stamp_stays_null() -> None:
    assert numbers([None, 585], "15min", "end") == [None, 0]


def test_a_day_as_one_bar() -> None:
    assert numbers([570, 690, 780, 900], "day", "end") == [None, None, None, 0]
    assert numbers([570, 690, 780, 900], "day", "start") == [0, None, None, None]


@given(st.sampled_from([n for n in range(1, 241) if 240 % n == 0]), st.sampled_from(["start", "end"]))
def test_every_minute_of_the_clock_against_a_list_of_minutes(length: int, stamp: Stamp) -> None:
    if stamp == "start":
        want = {MINUTES[i]: i // length for i in range(0, 240, length)}
    else:
        want = {MINUTES[i] + 1: i // length for i in range(length - 1, 240, length)}
    got = numbers(list(range(1440)), f"{length}min", stamp)
    assert {minute: number for minute, number in enumerate(got) if number is not None} == want


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("60min", "bar: 60min does not divide the session of 390 minutes, which base bars must; give bars of 30min or"),
        ("7min", "bar: 7min does not divide the session of 390 minutes, which base bars must; give bars of 1min or"),
        ("day", "bar: day is no intraday bar; write minutes such as 15min, and daily rows as daily"),
        ("hour", "bar: 'hour' is not a bar length; write 15min, day or week"),
    ],
)
def test_base_bars_must_divide_the_session(base: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Session(segments=("09:30-16:00",)).check_base(base, "bar")
    assert str(error.value).startswith(message)
    for length in (1, 5, 15, 30, 65, 78, 130, 390):
        Session(segments=("09:30-16:00",)).check_base(f"{length}min", "bar")


def test_another_session() -> None:
    hong_kong = Session(segments=("09:30-12:00", "13:00-16:00"))
    assert hong_kong.minutes == 330
    assert hong_kong.bars_a_day("30min") == 11
    assert numbers([clock("12:00"), clock("13:30"), clock("16:00")], "30min", "end", hong_kong) == [4, 5, 10]


def test_a_list_is_read_as_segments() -> None:
    assert Session.model_validate({"segments": ["09:30-11:30", "13:00-15:00"]}) == A_SHARES


@pytest.mark.parametrize(
    "segments",
    [
        (),
        ("9:30-11:30",),
        ("09:30-09:30",),
        ("13:00-15:00", "09:30-11:30"),
        ("09:30-11:30", "11:00-15:00"),
        ("24:00-25:00",),
    ],
)
def test_impossible_segments_are_refused(segments: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        Session(segments=segments)


def test_refusals_name_the_bar_and_what_to_do() -> None:
    refused = {
        "50min": "50min does not divide the session of 240 minutes; "
        "choose a length that does, or set short_last_bar = true",
        "300min": "300min is longer than the session of 240 minutes; choose a shorter one",
        "hour": "'hour' is not a bar length; write 15min, day or week",
        "0min": "'0min' is not a bar length; write 15min, day or week",
    }
    for bar, reason in refused.items():
        with pytest.raises(ConfigError) as error:
            A_SHARES.bars_a_day(bar)
        assert str(error.value) == f"bar: {reason}"
    assert A_SHARES.bars_a_day("50min", short_last_bar=True) == 5
    for bar, base in [("30min", "20min"), ("5min", "15min")]:
        with pytest.raises(ConfigError) as error:
            A_SHARES.bars_in(bar, base)
        assert str(error.value) == f"bar: {bar} is not a whole number of base bars of {base}; choose a multiple"
