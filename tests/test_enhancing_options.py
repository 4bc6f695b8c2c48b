"""The enhance stage with exact ledgers and with risk in the objective: files, limits, what is refused, what is seen."""

from __future__ import annotations

import io
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from polygrain import pipeline
from polygrain.compute import pool
from polygrain.config import load
from polygrain.errors import ConfigError, DataError, Infeasible
from polygrain.execution.quotes import Quotes
from polygrain.pipeline import enhancing, store_folder
from polygrain.pipeline.enhancement_files import EnhancementFiles
from polygrain.pipeline.factor_history import DAYS, FactorHistory
from polygrain.pipeline.holding import LEDGER
from polygrain.pipeline.market import Market
from polygrain.portfolio.context import DateContext
from polygrain.portfolio.enhancement import Grid
from polygrain.portfolio.risk import estimated_risk
from polygrain.progress import Lines
from polygrain.store.panel import Array, Axes
from polygrain.store.store import Store

# One test process makes what its tests share.
pytestmark = pytest.mark.xdist_group("options")

TINY = Path(__file__).parents[1] / "examples" / "tiny.toml"
CAPITAL, LIMIT = 10_000_000, 0.06
OPTIONS = {
    "exact": f"ledger = {{ capital = {CAPITAL}, commission = 0.00025 }}",
    "mild": "objective = { risk_aversion = 1.0 }",
    "averse": "objective = { risk_aversion = 300.0, quadratic_cost = 1.0 }",
    "limited": f"objective = {{ tracking_error = {LIMIT} }}",
}
CONSTRAINTS = """constraints = [
    { kind = "stock_deviation", limit = 0.02 },
    { kind = "industry_deviation", limit = 0.02 },
    { kind = "turnover", limit = 0.3 },
]
"""


def config(folder: Path, options: dict[str, str] = OPTIONS) -> Path:
    """The tiny example, with a portfolio in fractions and one of every option; 60 days before the first decision."""
    text = TINY.read_text().partition("[enhancement")[0].replace("train_min = 30", "train_min = 40")
    for name, option in {"plain": "", **options}.items():
        text += f'[enhancement.{name}]\nindex = "large"\nmodels = ["ensemble"]\n{option}\n{CONSTRAINTS}'
    path = folder / "options.toml"
    path.write_text(text)
    return path


def enhanced(path: Path, folder: Path, *changes: str) -> Path:
    experiment = load(path, ["workers=1", *changes])
    progress = Lines(io.StringIO())
    pipeline.run(experiment, folder=folder, base=path.parent, last="enhance", progress=progress)
    return folder / "portfolios"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("options")
    enhanced(config(folder), folder / "tiny")
    return folder / "tiny"


@pytest.fixture(scope="module")
def market(run: Path) -> Market:
    return seen(run)


def seen(run: Path) -> Market:
    experiment = load(run / "config.toml")
    return Market(experiment, Store(store_folder(experiment, run, run.parent)))


def table(run: Path, name: str, portfolio: str) -> pl.DataFrame:
    return pl.read_parquet(run / "portfolios" / f"{name}.parquet").filter(portfolio=portfolio)


def copied(run: Path, folder: Path) -> Path:
    shutil.copytree(run.parent, folder / "runs")
    return folder / "runs" / "tiny"


def files(portfolios: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(portfolios.iterdir())}


def test_every_fen_of_the_ledger_is_in_its_file(run: Path, market: Market) -> None:
    assert pl.read_parquet_schema(run / "portfolios" / "ledger.parquet") == LEDGER["ledger"]
    rows, nav = pl.read_parquet(run / "portfolios" / "ledger.parquet"), table(run, "nav", "exact")
    assert rows["portfolio"].unique().to_list() == ["exact"]
    assert rows["date"].is_sorted()
    trades, paid = rows.filter(cause="trade"), rows.filter(pl.col("cause") != "trade")
    assert (trades.height > 100, paid["shares"].null_count()) == (True, paid.height)
    fees = pl.col("commission") + pl.col("stamp_duty") + pl.col("transfer_fee")
    assert trades.select((pl.col("flow") == -pl.col("shares").sign() * pl.col("amount") - fees).all()).item()
    # Cash at the last close, of the NAV, is the capital and all flows: fractions of 10⁹ fen have 16 digits.
    fen = 100 * CAPITAL
    last = nav.row(-1, named=True)
    assert last["cash"] * last["net"] * fen == pytest.approx(fen + rows["flow"].sum(), abs=1e-4)
    # What lies between gross and net of a close are the charges up to it, each of the worth at the close before.
    charges = trades.group_by("date").agg(fees.sum().alias("charges"))
    both = nav.join(charges, on="date", how="left").with_columns(
        kept=(1 - pl.col("charges").fill_null(0) / (pl.col("net").shift(1, fill_value=1) * fen)).cum_prod()
    )
    np.testing.assert_allclose(both["gross"] * both["kept"], both["net"], rtol=1e-12)
    # Amounts of a fill are its fractions of the worth at the decision's close, the close before.
    worth = nav.with_columns(worth=pl.col("net").shift(1) * fen).select("date", "worth")
    filled = table(run, "trades", "exact").filter(pl.col("traded") != 0).join(worth, on="date")
    amounts = filled.join(trades, on=["date", "symbol"], how="full", validate="1:1", coalesce=True)
    np.testing.assert_allclose(amounts["traded"].abs() * amounts["worth"], amounts["amount"], rtol=1e-12)
    # Of a stock whose factor never changes the shares held last are those bought less those sold, a yuan of capital.
    factor, axes = market.quotes.factor, market.quotes.axes
    constant = [axes.symbols[column] for column in np.flatnonzero((factor == factor[0]).all(axis=0))]
    held = table(run, "holdings", "exact").filter(pl.col("date") == pl.col("date").max())
    bought = trades.filter(pl.col("symbol").is_in(constant)).group_by("symbol").agg(pl.col("shares").sum())
    shares = dict(bought.iter_rows())
    assert len(shares) > 10
    for symbol, count in shares.items():
        adjusted = count / factor[0, axes.symbol_number[symbol]] / CAPITAL
        assert sum(held.filter(symbol=symbol)["shares"]) == pytest.approx(adjusted, rel=1e-12)


def test_the_exact_ledger_is_near_the_book_in_fractions(run: Path) -> None:
    # Of 10 million a lot is about .0001, and fees of .0003 are out of the cash: some 30 names of like errors leave .003
    # of NAV. Stamp duty .001 on sales, .00002 and .00025 on both sides: a round trip is .00154 in place of .003.
    exact, plain = table(run, "nav", "exact"), table(run, "nav", "plain")
    np.testing.assert_allclose(exact["gross"], plain["gross"], atol=0.003)
    assert 0.3 < (exact["gross"] - exact["net"])[-1] / (plain["gross"] - plain["net"])[-1] < 0.7


def test_the_attribution_adds_up_to_the_excess(run: Path) -> None:
    for name in ("plain", *OPTIONS):
        nav, parts = table(run, "nav", name), table(run, "attribution", name)
        excess = nav.select("date", excess=pl.col("net").pct_change() - pl.col("benchmark").pct_change()).drop_nulls()
        found = parts.group_by("date", maintain_order=True).agg(pl.col("value").sum()).join(excess, on="date")
        assert found.height == excess.height
        np.testing.assert_allclose(found["value"], found["excess"], atol=1e-14)
        assert parts.filter(source="cost")["value"].sum() < 0


@pytest.mark.parametrize("name", ["plain", "exact"])
def test_where_nothing_is_traded_the_weights_held_explain_the_return(run: Path, name: str) -> None:
    # A ledger's shares are of its worth after costs. What is left is the fraction of a share that a factor leaves: of
    # some 30 names 20 yuan of 10 million at most, with a return of a tenth: 6e-6. Parts of the worth before costs would
    # be .3% too small by the end, and leave as much of returns of about 1%.
    fills = table(run, "holdings", name)["date"].unique()
    trading = table(run, "attribution", name).filter(
        pl.col("source") == "trading", ~pl.col("date").is_in(fills.implode())
    )
    assert trading.height > 20
    assert trading["value"].abs().max() < (6e-6 if name == "exact" else 1e-14)


def tracking_errors(run: Path, market: Market, portfolio: str) -> list[float]:
    """Ex-ante, of the weights in the file, by date; the factor returns are fitted here, not those that were shared."""
    axes, panels, history = market.quotes.axes, market.exposures, FactorHistory(market)
    holdings, found = table(run, "holdings", portfolio), []
    for (day,), rows in table(run, "weights", portfolio).group_by("date", maintain_order=True):
        number = axes.day_number[day]
        weights, benchmark = np.zeros(len(axes.symbols)), np.zeros(len(axes.symbols))
        for symbol, weight, of_index in rows.select("symbol", "weight", "benchmark_weight").iter_rows():
            weights[axes.symbol_number[symbol]], benchmark[axes.symbol_number[symbol]] = weight, of_index
        held = holdings.filter(pl.col("date") == pl.col("date").filter(pl.col("date") <= day).max())["symbol"]
        # Who is known at the decision, as variances are shrunk to those of the date's stocks.
        known = market.members[number] | (benchmark > 0) | np.isin(axes.symbols, held)
        some, yes = np.flatnonzero(known), np.ones(known.sum(), bool)
        date = DateContext(
            day=day,
            symbols=tuple(axes.symbols[column] for column in some),
            score=yes.astype(float),
            benchmark=benchmark[some],
            member=benchmark[some] > 0,
            previous=None,
            cash=1.0,
            styles=panels.names,
            exposures=panels.styles.values[number, some].T.astype(float),
            industries=panels.industries.names[1:],
            industry=panels.industries.codes[number, some].astype(int) - 1,
            buyable=yes,
            sellable=yes,
            frozen=~yes,
            eligible=yes,
        )
        history.keep(number - DAYS, number)
        returns = {axes.days[each]: one for each, one in history.kept.items()}
        risk = estimated_risk(returns, axes.symbols, date)
        found.append(risk.tracking_error((weights - benchmark)[some]))
    return found


def test_risk_is_averted_and_the_limit_kept_on_every_date(run: Path, market: Market) -> None:
    plain, mild, averse, limited = (
        tracking_errors(run, market, name) for name in ("plain", "mild", "averse", "limited")
    )
    assert len(plain) >= 10
    # The same problem but for λ at the first date; then what is held differs, and is less risky by and by.
    assert averse[0] < mild[0] < plain[0]
    assert np.mean(averse) < np.mean(mild) < np.mean(plain)
    assert max(plain) > LIMIT
    # Certificates are of 1e-6.
    assert max(limited) <= LIMIT + 1e-6
    prices = table(run, "prices", "limited").filter(part="tracking_error")
    assert prices.height == len(limited)
    assert prices["binding"].to_list() == [int(error > LIMIT - 1e-6) for error in limited]
    assert prices.filter(binding=1)["price"].min() > 0
    solves = pl.read_parquet(run / "portfolios" / "solves.parquet")
    assert solves.select(pl.max_horizontal("primal", "dual", "gap").max()).item() <= 1e-6


def later_changed(quotes: Quotes, cut: int) -> Quotes:
    """Other prices and factors after day number `cut`, so little that the tracking error can be kept to."""
    later = np.arange(len(quotes.axes.days))[:, None] > cut
    scale = 1 + 0.005 * np.random.default_rng(5).random(quotes.close.shape)
    changed: dict[str, Array] = {
        name: np.where(
            later, np.round(getattr(quotes, name) * scale, 6 if name == "factor" else 2), getattr(quotes, name)
        )
        for name in ("open", "high", "low", "close", "vwap", "factor", "amount")
    }
    return replace(quotes, **changed)


def test_nothing_before_a_day_depends_on_what_comes_after(run: Path, tmp_path: Path) -> None:
    # Prices after a decision are others, and with them styles, universes, factor returns and risk; and two workers do
    # it in place of one.
    other, fresh = copied(run, tmp_path), seen(run)
    days = table(run, "weights", "exact")["date"].unique().sort().to_list()
    cut = days[5]
    vars(fresh)["quotes"] = later_changed(fresh.quotes, fresh.quotes.axes.day_number[cut])
    shutil.rmtree(other / "portfolios")
    with pool(2, ()) as workers:
        enhancing.enhance(fresh, other, "key", workers, Lines(io.StringIO()))
    for name in ("weights", "solves", "prices"):
        mine, theirs = (pl.read_parquet(each / "portfolios" / f"{name}.parquet") for each in (run, other))
        assert mine.filter(pl.col("date") <= cut).equals(theirs.filter(pl.col("date") <= cut))
    # And they are others afterwards.
    for portfolio in ("plain", *OPTIONS):
        mine, theirs = (table(each, "weights", portfolio).filter(pl.col("date") > cut) for each in (run, other))
        assert not mine.equals(theirs)
    mine, theirs = (pl.read_parquet(each / "portfolios" / "ledger.parquet") for each in (run, other))
    assert mine.filter(pl.col("date") <= cut).equals(theirs.filter(pl.col("date") <= cut))


def test_shared_factor_returns_are_those_that_were_fitted(market: Market, tmp_path: Path) -> None:
    history, axes = FactorHistory(market), market.quotes.axes
    history.keep(0, 30)
    # Nobody is of U_t before a window of features is full.
    assert min(history.kept) > 1
    files = EnhancementFiles(tmp_path)
    files.save_axes(axes)
    files.save_factors(history.kept)
    first = min(history.kept) + 2
    found = files.factors(first)
    assert list(found) == [axes.days[day] for day in range(first, 31)]
    for day, explained in found.items():
        fitted = history.of(axes.day_number[day])
        assert (explained.names, explained.values.tolist()) == (fitted.names, fitted.values.tolist())
        assert explained.residual_S.tobytes() == fitted.residual_S.tobytes()


def test_a_ledger_that_is_left_out_leaves_no_file(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    plain = config(tmp_path, {})
    portfolios = enhanced(plain, other)
    assert not (portfolios / "ledger.parquet").exists()
    grids = [Grid.model_validate_json((each / "portfolios" / "grid.json").read_text()) for each in (run, other)]
    assert grids[1].cost == {"plain": 0.003}
    assert grids[0].cost == {
        **dict.fromkeys(("plain", "mild", "averse", "limited"), 0.003),
        "exact": load(run.parent / "options.toml").enhancement["exact"].ledger,
    }


def test_refused_before_the_first_walk(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, path = copied(run, tmp_path), run.parent / "options.toml"
    with pytest.raises(ConfigError) as refused:
        enhanced(path, other, "enhancement.exact.ledger.commission=0.01")
    said = "enhancement.exact.ledger.commission: 0.01 is not between 0 and 0.003, the most allowed"
    assert str(refused.value) == said
    foreign = seen(run)
    axes = foreign.quotes.axes
    symbols = ("AAPL", *axes.symbols[1:])
    vars(foreign)["quotes"] = replace(foreign.quotes, axes=Axes(axes.days, symbols))
    with pool(1, ()) as workers, pytest.raises(DataError, match="'AAPL' is not canonical"):
        enhancing.enhance(foreign, other, "key", workers, Lines(io.StringIO()))
    assert files(other / "portfolios") == files(run / "portfolios")
    monkeypatch.setitem(sys.modules, "clarabel", None)
    with pytest.raises(ConfigError) as refused:
        enhanced(path, tmp_path / "new")
    assert str(refused.value) == "enhancement.mild.objective: risk needs Clarabel; pip install 'polygrain[conic]'"
    assert not (tmp_path / "new").exists()


def test_too_few_days_for_a_risk_model_are_refused(run: Path, tmp_path: Path) -> None:
    # With folds as short as the tiny example's own the first decision is earlier.
    other = copied(run, tmp_path)
    with pytest.raises(ConfigError) as refused:
        enhanced(run.parent / "options.toml", other, "protocol.train_min=30")
    assert str(refused.value) == (
        "enhancement.mild.objective: 52 days of factor returns up to the first decision, on 2021-06-03; a risk model "
        "needs 60: score later days, or leave it out"
    )
    assert json.loads((other / "manifest.json").read_text())["stages"]["enhance"]
    assert files(other / "portfolios") == files(run / "portfolios")


def test_a_limit_that_cannot_be_kept_says_of_which_portfolio(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    said = r"^limited with ensemble: 2021-0\d-\d\d: tracking_error: the constraints allow none below"
    with pytest.raises(Infeasible, match=said):
        enhanced(run.parent / "options.toml", other, "enhancement.limited.objective.tracking_error=0.0001")
    finished = {path.name: path.read_bytes() for path in (other / "portfolios").glob("*.*")}
    assert finished == files(run / "portfolios")
