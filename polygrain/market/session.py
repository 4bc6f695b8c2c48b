"""The trading session of a day: its minutes, and the bars that they are cut into."""

from __future__ import annotations

import math
import re
from functools import cached_property
from typing import Annotated, Literal, TypeAlias

import polars as pl
from pydantic import AfterValidator, Field

from polygrain.errors import ConfigError
from polygrain.spec import Spec

DAYS_A_WEEK = 5

_SEGMENT = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_MINUTES = re.compile(r"([1-9][0-9]*)min")


def _in_order(segments: tuple[str, ...]) -> tuple[str, ...]:
    last = -1
    for segment in segments:
        match = _SEGMENT.fullmatch(segment)
        if match is None:
            raise ValueError(f"{segment!r} is not HH:MM-HH:MM")
        start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
        if start < last or end <= start:
            raise ValueError(f"{segment!r} does not lie after the segment before it")
        last = end
    return segments


# Not strict: a TOML list is read as the tuple.
Segments: TypeAlias = Annotated[tuple[str, ...], Field(strict=False, min_length=1), AfterValidator(_in_order)]
A_SHARE_HOURS = ("09:30-11:30", "13:00-15:00")


class Session(Spec):
    """The hours of continuous trading, `HH:MM-HH:MM` in order; the breaks between them are no time at all."""

    segments: Segments = A_SHARE_HOURS

    @cached_property
    def _spans(self) -> tuple[tuple[int, int, int], ...]:
        """(start, end, session minutes before the start) of each segment, in minutes of the day."""
        spans, before = [], 0
        for segment in self.segments:
            start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in segment.split("-"))
            spans.append((start, end, before))
            before += end - start
        return tuple(spans)

    @property
    def minutes(self) -> int:
        """Minutes of trading in a day: 240 for A-shares."""
        return sum(end - start for start, end, _ in self._spans)

    def minutes_of(self, bar: str, key: str = "bar") -> int:
        """Minutes in a bar: "15min" 15, "day" a session, "week" five of them; ConfigError at `key` for other text."""
        if bar == "day":
            return self.minutes
        if bar == "week":
            return DAYS_A_WEEK * self.minutes
        match = _MINUTES.fullmatch(bar)
        if match is None:
            raise ConfigError(key, f"{bar!r} is not a bar length; write 15min, day or week")
        return int(match[1])

    def bars_a_day(self, bar: str, *, short_last_bar: bool = False, key: str = "bar") -> int:
        """Rows a day of bars of this length: ⌈session / bar⌉; 1 for "week", which has a row for every day.

        ConfigError where the bar is longer than the session, or does not divide it without `short_last_bar`.
        """
        if bar == "week":
            return 1
        minutes = self.minutes_of(bar, key)
        if minutes > self.minutes:
            raise ConfigError(key, f"{bar} is longer than the session of {self.minutes} minutes; choose a shorter one")
        if self.minutes % minutes and not short_last_bar:
            raise ConfigError(
                key,
                f"{bar} does not divide the session of {self.minutes} minutes; "
                "choose a length that does, or set short_last_bar = true",
            )
        return -(-self.minutes // minutes)

    def check_base(self, bar: str, key: str) -> None:
        """Refuse as base bars what is not minutes, or does not divide the session; ConfigError names `key`."""
        minutes = self.minutes_of(bar, key)
        if bar in ("day", "week"):
            raise ConfigError(key, f"{bar} is no intraday bar; write minutes such as 15min, and daily rows as daily")
        if self.minutes % minutes:
            whole = math.gcd(self.minutes, minutes)
            raise ConfigError(
                key,
                f"{bar} does not divide the session of {self.minutes} minutes, which base bars must; "
                f"give bars of {whole}min or of another length that does",
            )

    def bars_in(self, bar: str, base: str, key: str = "bar") -> int:
        """m, the base bars in a bar: bar / base; ConfigError naming both where that is not a whole number."""
        whole, rest = divmod(self.minutes_of(bar, key), self.minutes_of(base))
        if rest or not whole:
            raise ConfigError(key, f"{bar} is not a whole number of base bars of {base}; choose a multiple")
        return whole

    def bar_number(self, minute_of_day: pl.Expr, bar: str, stamp: Literal["start", "end"]) -> pl.Expr:
        """Bar number within the day (UInt16, from 0) of stamps given in minutes since midnight.

        `stamp` says whether they mark a bar's start or its end. Bars are cut from session minutes, so no break splits
        one: 11:30 ends the morning's last bar, 13:00 starts the afternoon's first. Null where a stamp lies outside the
        session or is not a bar's border, for the caller to refuse by row. ConfigError where the bar does not divide the
        session.
        """
        minutes = self.minutes // self.bars_a_day(bar)
        minute = minute_of_day.cast(pl.Int32)
        elapsed = pl.lit(None, dtype=pl.Int32)
        for start, end, before in self._spans:
            inside = (minute >= start) & (minute < end) if stamp == "start" else (minute > start) & (minute <= end)
            elapsed = pl.when(inside).then(minute - start + before).otherwise(elapsed)
        number = elapsed // minutes - (1 if stamp == "end" else 0)
        return pl.when(elapsed % minutes == 0).then(number).otherwise(None).cast(pl.UInt16)
