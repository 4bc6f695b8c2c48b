"""Source: where market data comes from, in the store's own tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, TypeAlias

import polars as pl

from polygrain.market.rules import LimitRule
from polygrain.market.session import Session
from polygrain.plugins import Registry, register_kind
from polygrain.spec import Spec

DailyAmount: TypeAlias = Literal["column", "bars", "typical_price", "none"]
REFERENCE = ("listings", "index_members", "index_weights", "industries")


class Source(Spec, ABC):
    """Market data in the tables of store.tables; raw prices, shares, yuan. It sees no time restriction: it is the past.

    `ingest` checks every frame, so a source only has to rename, convert and name what is wrong with its data. A
    subclass that a configuration can name has a `kind` and is registered by `@source`.
    """

    kind: str = ""

    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 (hex) of the content and of the settings that change what the tables hold."""

    @property
    @abstractmethod
    def base_bar(self) -> str:
        """The finest bar length, "day" without bars."""

    @property
    @abstractmethod
    def session(self) -> Session:
        """The trading hours that bars are numbered in."""

    @abstractmethod
    def bars(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """(month such as "2025-01", its `bars` table), months in order, in memory that does not grow with their number.

        Nothing where base_bar is "day".
        """

    @abstractmethod
    def daily(self) -> pl.DataFrame | None:
        """The whole `daily` table, None where it has to be made from the bars."""

    @abstractmethod
    def reference(self, name: str) -> pl.DataFrame | None:
        """One of the tables of REFERENCE, None where the source has none."""

    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """Sentences about the data's flaws and stand-ins, printed under every table made from it."""

    @property
    def limits(self) -> LimitRule:
        """Whose price limits hold where the daily table gives none: those of the A-share boards, or nobody's."""
        return "cn_a"

    @property
    def daily_amount(self) -> DailyAmount:
        """Where the day's amount and VWAP come from; a source with an amount column leaves this as it is."""
        return "column"

    @property
    def snapshots(self) -> tuple[str, ...]:
        """The reference tables that show one later date and are therefore not point in time."""
        return ()

    @property
    def simulated(self) -> bool:
        """Whether the market is made up, which the report then says loudly."""
        return False

    @property
    def predictable(self) -> bool:
        """Whether anything in the market can be predicted: False is for who made it up without a signal."""
        return True

    def oracle(self, horizon: int) -> pl.DataFrame | None:
        """What who knows a made-up market's hidden states scores at each close for a label of `horizon` days.

        (date, symbol, score); None where nobody knows, as in every real market. It is asked for evaluation alone.
        """
        return None


SOURCES: Registry[type[Source]] = Registry("source kind")


def source(kind: type[Source]) -> type[Source]:
    """Register a Source by its `kind`; ConfigError where it has none or the name is taken."""
    return register_kind(SOURCES, kind)
