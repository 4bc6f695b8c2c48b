"""Small backtests from scores to fen whose whole list of trades is pinned, each with figures by hand.

Four stocks, prices of 10 yuan that nothing moves but what a scenario says, equal index weights, scores 4, 3, 2, 1 by
column at every decision, every second day from day 1 on, filled at the next day's VWAP: with a stock deviation of .25
all is wanted in the first two, half each. A million yuan; a commission of .00025.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pytest
from random_markets import quotes_of
from test_exact import RULES, listed
from test_portfolio_benchmark import made
from test_portfolio_walk import panels_of

from polygrain.execution.exact_book import ExactBook, Ledger
from polygrain.execution.fills import FILLS
from polygrain.execution.ledger import market
from polygrain.execution.quotes import Quotes
from polygrain.portfolio.constraints import StockDeviation
from polygrain.portfolio.infeasible import ORDER
from polygrain.portfolio.known import known
from polygrain.portfolio.plan import most_score
from polygrain.portfolio.walk import Decision, walk
from polygrain.store.panel import Array

DAYS, FIRST = 9, date(2024, 1, 2)
MAIN = ("600000.SH", "600001.SH", "600002.SH", "600003.SH")
FILL = FILLS["t1_vwap"]


@dataclass
class Scenario:
    """A market that nothing happens in, for a scenario to change."""

    quotes: Quotes
    scores: Array
    symbols: tuple[str, ...] = MAIN
    first: date = FIRST
    capital: float = 1e6
    reviews: tuple[int, ...] = ()


Change = Callable[[Scenario], None]
Flow = list[tuple[int, int, int, int]]
SCENARIOS: dict[str, tuple[Change, Flow, str]] = {}


def scenario(name: str, flow: Flow, digest: str) -> Callable[[Change], Change]:
    """Register a change under its name, with the trades of its first fills (day, column, shares, flow in fen) and the
    digest of all of its trades and payments."""

    def register(change: Change) -> Change:
        SCENARIOS[name] = (change, flow, digest)
        return change

    return register


def prices(found: Scenario, day: int, column: int, price: float) -> None:
    """A stock's prices from a day on."""
    for name in ("open", "high", "low", "close", "vwap"):
        getattr(found.quotes, name)[day:, column] = price


def traded(found: Scenario) -> tuple[Flow, str]:
    """All trades, and the digest of them and of the ledger's payments."""
    quotes = listed(found.quotes, found.symbols, found.first)
    equal = dict.fromkeys(found.symbols, 0.25)
    heavy = dict(zip(found.symbols, (0.1, 0.4, 0.4, 0.1)))
    lists = [(0, equal), *((day, heavy) for day in found.reviews)]
    index = made(quotes, lists, [1] * 4)
    decisions = list(range(1, DAYS - 1, 2))
    score = np.where(quotes.traded[decisions], found.scores[decisions], np.nan)
    panels = panels_of(quotes, [1] * 4, np.zeros(quotes.close.shape))
    seen = known(score, quotes, quotes.traded, index, panels, decisions)
    settings = Ledger(capital=found.capital, commission=0.00025)
    book = ExactBook(settings.opened(quotes, FILL, RULES), quotes, market(quotes, FILL))
    made_of: list[Decision] = []
    walk(seen, book, most_score([StockDeviation(limit=0.25)], ORDER), lag=1, last=DAYS - 1, record=made_of.append)
    assert all(decision.solution.certificate.holds for decision in made_of)
    trades = [(trade.day, trade.column, trade.shares, trade.flow) for trade in book.trades]
    paid = [(payment.day, payment.column, payment.cause, payment.amount) for payment in book.ledger.payments]
    moved = sum(trade.flow for trade in book.trades) + sum(payment.amount for payment in book.ledger.payments)
    assert book.ledger.cash == book.capital + moved
    return trades, hashlib.sha256(repr((trades, paid, book.ledger.cash)).encode()).hexdigest()[:16]


def plain() -> Scenario:
    """Equal scores every day; nothing moves."""
    flat = np.full((DAYS, 4), 10.0)
    quotes = quotes_of(flat, **{name: flat.copy() for name in ("open", "high", "low", "vwap")})
    quotes = replace(quotes, up_limit=np.full(flat.shape, np.nan), down_limit=np.full(flat.shape, np.nan))
    return Scenario(quotes, np.tile([4.0, 3.0, 2.0, 1.0], (DAYS, 1)))


# 50,000 shares each would cost a million and the fees; 49,900 cost 499,000.00 + 4.99 transfer fee + 124.75 commission.
FIRST_TWO = [(2, 0, 49_900, -499_129_74), (2, 1, 49_900, -499_129_74)]


@scenario("nothing happens", FIRST_TWO, "9a7859dd883fe652")
def _plain(found: Scenario) -> None:
    """What is left, 1,740.52, buys no lot of what .5 of the worth still lacks, 87 shares."""


@scenario("suspended when decided", [(2, 1, 49_900, -499_129_74), (2, 2, 49_900, -499_129_74)], "a992ed21c8190b74")
def _suspended_when_decided(found: Scenario) -> None:
    """The third is bought in the first's place, and the first on day 4."""
    found.quotes.close[1, 0] = np.nan
    found.quotes = replace(found.quotes, traded=np.isfinite(found.quotes.close))


# Of the second alone 50,000: 500,000.00 + 5.00 + 125.00.
SECOND_ALONE = [(2, 1, 50_000, -500_130_00)]


@scenario("suspended at the fill", SECOND_ALONE, "b686da9a92c9fafb")
def _suspended_at_the_fill(found: Scenario) -> None:
    for name in ("open", "high", "low", "close", "vwap"):
        getattr(found.quotes, name)[2, 0] = np.nan
    found.quotes = replace(found.quotes, traded=np.isfinite(found.quotes.close))


@scenario("locked at the up-limit", SECOND_ALONE, "b686da9a92c9fafb")
def _locked_up(found: Scenario) -> None:
    found.quotes.up_limit[2, 0] = 10.0


# 49,900 at 10.00 bring 499,000.00 − 249.50 stamp duty − 4.99 − 124.75.
SOLD = 498_620_76


@scenario("locked at the down-limit", [*FIRST_TWO, (4, 1, -49_900, SOLD)], "4e9494015361688e")
def _locked_down(found: Scenario) -> None:
    """Scores turn round on day 3; the first cannot be sold on day 4, and is on day 6."""
    found.scores[3:] = [1.0, 2.0, 3.0, 4.0]
    found.quotes.down_limit[4, 0] = 10.0


@scenario(
    "all is sold and others bought", [*FIRST_TWO, (4, 0, -49_900, SOLD), (4, 1, -49_900, SOLD)], "b656da059af67fb8"
)
def _turned(found: Scenario) -> None:
    found.scores[3:] = [1.0, 2.0, 3.0, 4.0]


# .5 of 999,740.52 are 99,974 shares at 5.00, 174 more than held: a lot for 500.00 + .01 (half up of .005) + 5.00.
@scenario("a split while held", [*FIRST_TWO, (6, 0, 100, -505_01)], "cf31b169e0340f17")
def _split(found: Scenario) -> None:
    """Two for one on day 4: 99,800 shares."""
    prices(found, 4, 0, 5.0)
    found.quotes.factor[4:, 0] = 2.0


# 99,900 at 5.00 cost 499,500.00 + 4.995 → 5.00 + 124.875 → 124.88.
@scenario("a split on the day of the fill", [(2, 0, 99_900, -499_629_88), FIRST_TWO[1]], "388ee52ed45733c5")
def _split_at_the_fill(found: Scenario) -> None:
    prices(found, 2, 0, 5.0)
    found.quotes.factor[2:, 0] = 2.0


# The index is a third of each other from day 6 on. With ± .25 the second may weigh .5833, the fourth must weigh .0833,
# and .3333 is left for the third, of 999,740.52: 58,318 less 49,900 shares, 33,324 and 8,331.
OTHERS = [(8, 1, 8_400, -84_021_84), (8, 2, 33_300, -333_086_58), (8, 3, 8_300, -83_021_58)]


@scenario("a delisting", [*FIRST_TWO, *OTHERS], "7101449b3fd2eb4d")
def _delisting(found: Scenario) -> None:
    """Day 5 is the first's last: 499,000.00 in cash at its close. What is planned of it there is void."""
    for name in ("open", "high", "low", "close", "vwap"):
        getattr(found.quotes, name)[6:, 0] = np.nan
    found.quotes.age[6:, 0] = 0
    found.quotes = replace(found.quotes, traded=np.isfinite(found.quotes.close))


# Single shares above 200: 49,987 cost 499,870.00 + 4.9987 → 5.00 + 124.9675 → 124.97; two of them leave 6 fen.
SINGLE = [(2, 0, 49_987, -499_999_97), (2, 1, 49_987, -499_999_97)]


@scenario("STAR", SINGLE, "7d373d329c43ca7d")
def _star(found: Scenario) -> None:
    found.symbols = ("688001.SH", "688002.SH", "688003.SH", "688004.SH")


@scenario("Beijing", SINGLE, "7d373d329c43ca7d")
def _beijing(found: Scenario) -> None:
    found.symbols = ("920001.BJ", "920002.BJ", "920003.BJ", "920004.BJ")


# On 2023-08-27 stamp duty is .001: 499.00.
@scenario("the last day of the whole stamp duty", [*FIRST_TWO, (4, 0, -49_900, SOLD - 249_50)], "de87cc0d78d0d42f")
def _whole_stamp_duty(found: Scenario) -> None:
    found.scores[3:] = [1.0, 2.0, 3.0, 4.0]
    found.first = date(2023, 8, 23)


# 1,400 at 10.00 cost 14,000.00 + .14 + the least commission, 5.00.
@scenario("the least commission", [(2, 0, 1_400, -14_005_14), (2, 1, 1_400, -14_005_14)], "679a63412141a034")
def _least_commission(found: Scenario) -> None:
    found.capital = 3e4


# The list of day 4 holds from day 5 on: .1, .4, .4, .1 ± .25. The first may weigh .35, the third must weigh .15. Of
# 999,740.52 the first's 34,990.9 shares are 14,909.1 less than held: 149 lots. The third's 14,996.1 are 149 lots too.
REVIEWED = [(6, 0, -14_900, 149_000_00 - 74_50 - 1_49 - 37_25), (6, 2, 14_900, -149_000_00 - 1_49 - 37_25)]


@scenario("a review of the index", [*FIRST_TWO, *REVIEWED], "da842b8c4bc59113")
def _review(found: Scenario) -> None:
    found.reviews = (4,)


@pytest.mark.parametrize("name", SCENARIOS)
def test_trades_are_those_by_hand_and_all_the_rest_as_they_were(name: str) -> None:
    change, flow, digest = SCENARIOS[name]
    found = plain()
    change(found)
    trades, whole = traded(found)
    assert trades[: len(flow)] == flow, trades
    assert whole == digest, trades


def test_there_are_enough_scenarios_and_no_two_are_alike() -> None:
    assert len(SCENARIOS) >= 12
    alike = {name: digest for name, (_, _, digest) in SCENARIOS.items()}
    # Suspended or locked at the fill is the same, and so are STAR's lots and Beijing's of so many shares.
    assert len(set(alike.values())) == len(alike) - 2
