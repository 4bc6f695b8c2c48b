"""The exchanges' dated rules (rules.toml) and the limit prices that follow from them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polygrain.errors import DataError
from polygrain.market.session import Session
from polygrain.spec import Spec

Board = Literal["main", "chinext", "star", "bse"]
Exchange = Literal["SH", "SZ", "BJ"]
# Which limit prices are assumed where a source gives none.
LimitRule: TypeAlias = Literal["cn_a", "none"]

NO_LIMIT = -1
_UNKNOWN = -2
# Two float32 factors put a reference up to 1.2e-7 of itself below the half that it stands for; never more than a
# twentieth of a fen is made up for, so that a high price is not moved.
_HALF_TOLERANCE = 1.5e-7
_HALF_TOLERANCE_FEN = 0.05


class Band(Spec):
    """A daily price limit in whole percent; `st` None holds for ST and other stocks alike."""

    board: Board
    since: date
    st: bool | None = None
    up: int
    down: int
    source: str


class Listing(Spec):
    """The limit of a new listing's first `days` trading days, over its band; without `up` and `down` there is none.

    It holds for stocks listed on `since` or later, on both exchanges of a board unless one is named.
    """

    board: Board
    exchange: Exchange | None = None
    since: date
    days: int
    up: int = NO_LIMIT
    down: int = NO_LIMIT
    source: str


class Delisting(Spec):
    """The first `free_days` days of a delisting period (退市整理期) have no limit; the others the band without ST."""

    since: date
    free_days: int
    source: str


class OneTick(Spec):
    """An exchange where a limit price lies at least one fen from the reference."""

    exchange: Exchange
    since: date
    source: str


class StampDuty(Spec):
    """Stamp duty, a fraction of the amount, paid by the seller."""

    since: date
    sell: float
    source: str


class TransferFee(Spec):
    """Transfer fee, a fraction of the amount, paid on both sides."""

    since: date
    rate: float
    source: str


class Commission(Spec):
    """What a broker may charge at most, a fraction of the amount, and the least it charges for an order, yuan."""

    since: date
    most: float
    least: float
    source: str


class Hours(Spec):
    """The session's segments."""

    since: date
    segments: tuple[str, ...]
    source: str


class ClosingCall(Spec):
    """An exchange's closing call auction, `HH:MM-HH:MM`."""

    exchange: Exchange
    since: date
    segment: str
    source: str


class Settlement(Spec):
    """Trading days from buying a share to the first on which it may be sold."""

    since: date
    days: int
    source: str


class Lot(Spec):
    """The least number of shares in a buy order and the step above it; a smaller remainder may only be sold whole."""

    board: Board
    since: date
    least: int
    step: int
    source: str


class CodeChange(Spec):
    """A stock that trades under another code from `since` on."""

    before: str
    after: str
    since: date
    source: str


class Fees(Spec):
    """Fees on a day, as fractions of the amount: `transfer` on both sides, None where it was not charged on the amount.

    `commission_least` is in yuan an order.
    """

    stamp_sell: float
    transfer: float | None
    commission_most: float
    commission_least: float


class _Dated(Protocol):
    @property
    def since(self) -> date: ...


Fact = TypeVar("Fact", bound=_Dated)


def _latest(facts: Sequence[Fact], day: date) -> Fact | None:
    """The newest fact in force on `day`."""
    return max((fact for fact in facts if fact.since <= day), key=lambda fact: fact.since, default=None)


def _in_force(facts: Sequence[Fact], day: date, what: str) -> Fact:
    fact = _latest(facts, day)
    if fact is None:
        raise DataError("rules.toml", f"no {what} is known for {day}; leave earlier days out")
    return fact


class Rules(Spec):
    """Every dated rule that the package applies, each with its source."""

    band: tuple[Band, ...]
    listing: tuple[Listing, ...]
    delisting: tuple[Delisting, ...]
    one_tick: tuple[OneTick, ...]
    stamp_duty: tuple[StampDuty, ...]
    transfer_fee: tuple[TransferFee, ...]
    commission: tuple[Commission, ...]
    hours: tuple[Hours, ...]
    closing_call: tuple[ClosingCall, ...]
    settlement: tuple[Settlement, ...]
    lot: tuple[Lot, ...]
    code_change: tuple[CodeChange, ...]

    def limit_rates(
        self,
        boards: ArrayLike,
        st: ArrayLike,
        age: ArrayLike,
        days: Sequence[date],
        *,
        exchanges: ArrayLike | None = None,
    ) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
        """Daily price limits (up, down) in percent, int16 [days, symbols], −1 where there is none.

        `boards` and `exchanges` [symbols] as `symbols` names them; `st` bool and `age` int [days, symbols]. Age counts
        trading days since listing, the listing day being 1; 0 stands for a stock that is not listed and for a day of
        relisting, both without limit. Without `exchanges`, rules that one exchange alone had are not applied. Each
        row sees its own day. DataError names the first listed stock-day before the rules of its board begin.
        """
        board_s = np.asarray(boards, dtype=str)
        exchange_s = np.full(board_s.shape, "") if exchanges is None else np.asarray(exchanges, dtype=str)
        st_ds, age_ds = np.asarray(st, dtype=bool), np.asarray(age)
        dates = np.asarray(days, dtype="datetime64[D]")
        up = np.full(age_ds.shape, _UNKNOWN, dtype=np.int16)
        down = up.copy()
        for band in sorted(self.band, key=lambda fact: fact.since):
            where = (dates >= np.datetime64(band.since))[:, None] & (board_s == band.board)[None, :]
            if band.st is not None:
                where &= st_ds == band.st
            up[where], down[where] = band.up, band.down
        for rule in sorted(self.listing, key=lambda fact: fact.since):
            since = np.datetime64(rule.since)
            # A stock listed before `since` is older than the rule. Weekdays count trading days here: no holiday lies in
            # the first week of any of these rules.
            newest = np.minimum(rule.days, np.busday_count(since, dates) + 1)
            columns = (board_s == rule.board) & ((exchange_s == rule.exchange) if rule.exchange else True)
            where = (dates >= since)[:, None] & columns[None, :] & (age_ds >= 1) & (age_ds <= newest[:, None])
            up[where], down[where] = rule.up, rule.down
        unlisted = age_ds < 1
        up[unlisted], down[unlisted] = NO_LIMIT, NO_LIMIT
        unknown = np.argwhere(up == _UNKNOWN)
        if len(unknown):
            row, column = unknown[0]
            raise DataError(
                "rules.toml",
                f"no price limit is known for board {board_s[column]} on {dates[row]}; leave earlier rows out",
            )
        return up, down

    def limit_rate(
        self, board: str, st: bool, age: int, day: date, *, exchange: str | None = None
    ) -> tuple[int, int] | None:
        """The price limit (up, down) in percent of one stock-day, None where there is none; see `limit_rates`."""
        exchanges = None if exchange is None else [exchange]
        up, down = self.limit_rates([board], [[st]], [[age]], [day], exchanges=exchanges)
        return None if up[0, 0] == NO_LIMIT else (int(up[0, 0]), int(down[0, 0]))

    def delisting_rate(self, board: str, number: int, day: date) -> tuple[int, int] | None:
        """The price limit in percent on day `number` (from 1) of a delisting period, None where there is none."""
        rule = _latest(self.delisting, day)
        if rule is not None and number <= rule.free_days:
            return None
        return self.limit_rate(board, False, np.iinfo(np.int32).max, day)

    def at_least_one_tick(self, exchanges: ArrayLike, days: Sequence[date]) -> NDArray[np.bool_]:
        """Where a limit price lies at least one fen from the reference: bool [days, symbols], for `limit_prices`."""
        exchange_s = np.asarray(exchanges, dtype=str)
        dates = np.asarray(days, dtype="datetime64[D]")
        out = np.zeros((len(dates), len(exchange_s)), dtype=bool)
        for rule in self.one_tick:
            out |= (dates >= np.datetime64(rule.since))[:, None] & (exchange_s == rule.exchange)[None, :]
        return out

    def fees(self, day: date) -> Fees:
        """The fees in force on a day; DataError before the first stamp duty known."""
        stamp = _in_force(self.stamp_duty, day, "stamp duty")
        commission = _in_force(self.commission, day, "commission")
        transfer = _latest(self.transfer_fee, day)
        return Fees(
            stamp_sell=stamp.sell,
            transfer=None if transfer is None else transfer.rate,
            commission_most=commission.most,
            commission_least=commission.least,
        )

    def session(self, day: date) -> Session:
        """The session of a day; DataError before the first one known."""
        return Session(segments=_in_force(self.hours, day, "session").segments)

    def closing_call_of(self, exchange: str, day: date) -> str | None:
        """The closing call auction of an exchange on a day, such as 14:57-15:00; None where it had none."""
        rule = _latest([rule for rule in self.closing_call if rule.exchange == exchange], day)
        return None if rule is None else rule.segment

    def sellable_after(self, day: date) -> int:
        """Trading days until a share bought on `day` may be sold: 1 (T+1)."""
        return _in_force(self.settlement, day, "settlement rule").days

    def lot_of(self, board: str, day: date) -> Lot:
        """The lot rule of a board on a day; DataError before the first one known."""
        return _in_force([rule for rule in self.lot if rule.board == board], day, f"lot of board {board}")

    def symbol_on(self, symbol: str, day: date) -> str:
        """The symbol under which a stock trades on a day, given either of its symbols."""
        for change in self.code_change:
            if symbol in (change.before, change.after):
                return change.after if day >= change.since else change.before
        return symbol


@cache
def load_rules() -> Rules:
    """The rules that come with the package."""
    table = tomllib.loads(files("polygrain.market").joinpath("rules.toml").read_text(encoding="utf-8"))
    return Rules.model_validate_json(json.dumps(table, default=date.isoformat))


def reference_price(previous_close: ArrayLike, previous_factor: ArrayLike, factor: ArrayLike) -> NDArray[np.float64]:
    """The price that a day's limits start from: round-half-up(close₋ · f₋ / f, 2), yuan, any shape; NaN stays NaN.

    close₋ and f₋ are the last traded day's raw close and cumulative factor, f the day's own factor.
    """
    ratio = np.asarray(previous_factor, dtype=np.float64) / np.asarray(factor, dtype=np.float64)
    fen = np.asarray(previous_close, dtype=np.float64) * ratio * 100.0
    rounded: NDArray[np.float64] = np.floor(fen + np.minimum(fen * _HALF_TOLERANCE, _HALF_TOLERANCE_FEN) + 0.5)
    return rounded / 100.0


def limit_prices(
    reference: ArrayLike, up: ArrayLike, down: ArrayLike, one_tick: ArrayLike = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(up limit, down limit) in yuan: round-half-up(reference · (1 ± x %), 2), exact to the fen.

    `reference` is a price on the fen grid, `up` and `down` whole percents (−1: no limit), all of shapes that broadcast.
    Where `one_tick` is set a limit lies at least one fen from the reference, and never below one fen. NaN where the
    reference is NaN or there is no limit.
    """
    price = np.asarray(reference, dtype=np.float64)
    known = np.isfinite(price)
    fen = np.rint(np.where(known, price, 0.0) * 100.0).astype(np.int64)
    up_percent, down_percent = np.asarray(up, dtype=np.int64), np.asarray(down, dtype=np.int64)
    high = (fen * (100 + up_percent) + 50) // 100
    low = (fen * (100 - down_percent) + 50) // 100
    tick = np.asarray(one_tick, dtype=bool)
    high = np.where(tick, np.maximum(high, fen + 1), high)
    low = np.where(tick, np.maximum(np.minimum(low, fen - 1), 1), low)
    return (
        np.where(known & (up_percent != NO_LIMIT), high / 100.0, np.nan),
        np.where(known & (down_percent != NO_LIMIT), low / 100.0, np.nan),
    )
