"""Symbols: one spelling, 600000.SH, and what the code says about exchange and board; other markets' as written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, TypeAlias

import polars as pl

from polygrain.errors import DataError

EXCHANGES = ("SH", "SZ", "BJ")
Spelling: TypeAlias = Literal["coded", "bare", "text"]

_SUFFIXES = {
    "SH": "SH", "XSHG": "SH", "SSE": "SH",
    "SZ": "SZ", "XSHE": "SZ", "SZSE": "SZ",
    "BJ": "BJ", "BSE": "BJ",
}  # fmt: skip
_CODE_FIRST = rf"^([0-9]{{6}})\.({'|'.join(_SUFFIXES)})$"
_EXCHANGE_FIRST = rf"^({'|'.join(EXCHANGES)})\.?([0-9]{{6}})$"
# The 92 of Beijing's new codes comes before the 9 of Shanghai's B shares.
_BARE = ((r"^92[0-9]{4}$", "BJ"), (r"^[569][0-9]{5}$", "SH"), (r"^[023][0-9]{5}$", "SZ"), (r"^[48][0-9]{5}$", "BJ"))
# AAPL, BRK.B, BF-B, 0700.HK, M&M.NS; a mark stands between letters or digits only.
_TEXT = r"^[A-Za-z0-9]+([.\-_^/&][A-Za-z0-9]+)*$"
_LONGEST_TEXT = 32
_CANONICAL = re.compile(r"([0-9]{6})\.(SH|SZ|BJ)")


def canonical(text: str, *, bare: bool = False) -> str:
    """The canonical spelling of a symbol, `600000.SH`.

    Reads 600000.SH, SH600000, sh.600000, 600000.XSHG and 600000.SSE (SZ, XSHE, SZSE, BJ, BSE alike) in either case.
    With `bare`, six digits alone are read too, by their first ones: 5, 6, 9 are SH; 0, 2, 3 are SZ; 4, 8, 92 are BJ.
    DataError where the text is none of these.
    """
    upper = text.strip().upper()
    if match := re.match(_CODE_FIRST, upper):
        return f"{match[1]}.{_SUFFIXES[match[2]]}"
    if match := re.match(_EXCHANGE_FIRST, upper):
        return f"{match[2]}.{match[1]}"
    if bare:
        for pattern, exchange in _BARE:
            if re.match(pattern, upper):
                return f"{upper}.{exchange}"
    raise DataError("symbol", f"{text!r} is not a symbol; write it as 600000.SH, SH600000, sh.600000 or 600000.XSHG")


def canonical_column(symbol: pl.Expr, *, bare: bool = False) -> pl.Expr:
    """`canonical` for a text column; null where it would refuse."""
    upper = symbol.str.strip_chars().str.to_uppercase()
    code_first = pl.concat_str(
        upper.str.extract(_CODE_FIRST, 1),
        upper.str.extract(_CODE_FIRST, 2).replace_strict(_SUFFIXES, default=None, return_dtype=pl.String),
        separator=".",
    )
    exchange_first = pl.concat_str(
        upper.str.extract(_EXCHANGE_FIRST, 2), upper.str.extract(_EXCHANGE_FIRST, 1), separator="."
    )
    readings = [code_first, exchange_first]
    if bare:
        readings += [
            pl.when(upper.str.contains(pattern)).then(pl.concat_str(upper, pl.lit(f".{exchange}")))
            for pattern, exchange in _BARE
        ]
    return pl.coalesce(readings)


def text_column(symbol: pl.Expr) -> pl.Expr:
    """A text column of another market's symbols as they are written; null where one is not letters and digits with
    single marks (. - _ ^ / &) between them, or longer than 32 characters."""
    return pl.when(symbol.str.contains(_TEXT) & (symbol.str.len_chars() <= _LONGEST_TEXT)).then(symbol)


def case_twin(symbols: Iterable[str], seen: dict[str, str]) -> tuple[str, str] | None:
    """The first of `symbols` that differs from an earlier one in case alone, and that one; None where there is none.

    `seen` holds the earlier symbols by their lower case; the new ones are entered.
    """
    for symbol in symbols:
        earlier = seen.setdefault(symbol.lower(), symbol)
        if earlier != symbol:
            return symbol, earlier
    return None


def exchange(symbol: str) -> str:
    """SH, SZ or BJ, of a canonical symbol; DataError for any other text."""
    match = _CANONICAL.fullmatch(symbol)
    if match is None:
        raise DataError("symbol", f"{symbol!r} is not canonical; pass it through canonical() first")
    return match[2]


def board(symbol: str) -> str:
    """The board of a canonical symbol: star (688, 689), chinext (300, 301, 302), bse (.BJ), else main."""
    where = exchange(symbol)
    if where == "BJ":
        return "bse"
    if where == "SH" and symbol.startswith(("688", "689")):
        return "star"
    if where == "SZ" and symbol.startswith(("300", "301", "302")):
        return "chinext"
    return "main"
