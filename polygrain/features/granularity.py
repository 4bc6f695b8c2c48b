"""Granularity: at which bar length the features are computed, and which of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from polygrain.market.session import Session
from polygrain.spec import Spec


class Granularity(Spec):
    """A name, a bar length that is a whole number of base bars, and the features computed over its bars.

    `features`: "all" that the bars and the data allow, "common" = those that every granularity of the run can have, or
    names. `short_last_bar` allows a bar length that does not divide the session: what the last bar lacks counts as
    time without trades. "week" has a row for every day: the five trading days that end there.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")]
    bar: str
    features: Literal["all", "common"] | list[str] = "all"
    short_last_bar: bool = False

    def bars_a_day(self, session: Session) -> int:
        """Rows of a day; ConfigError where the bar does not divide the session and `short_last_bar` is not set."""
        return session.bars_a_day(self.bar, short_last_bar=self.short_last_bar, key=f"granularity.{self.name}.bar")

    def base_bars(self, session: Session, base_bar: str) -> int:
        """m, the nominal number of base bars in a bar; ConfigError where that is not a whole number."""
        return session.bars_in(self.bar, base_bar, key=f"granularity.{self.name}.bar")
