import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polygrain.errors import DataError
from polygrain.market.symbols import board, canonical, canonical_column, exchange

MARKETS = [("SH", "XSHG", "SSE"), ("SZ", "XSHE", "SZSE"), ("BJ", "BJ", "BSE")]


def spellings(code: str, short: str, mic: str, long: str) -> list[str]:
    return [f"{code}.{short}", f"{short}{code}", f"{short.lower()}.{code}", f"{code}.{mic}", f"{code}.{long}"]


@given(st.integers(0, 999_999).map("{:06d}".format), st.sampled_from(MARKETS))
def test_five_spellings_read_alike(code: str, market: tuple[str, str, str]) -> None:
    want = f"{code}.{market[0]}"
    texts = spellings(code, *market)
    texts += [text.lower() for text in texts] + [f" {text.upper()} " for text in texts]
    assert [canonical(text) for text in texts] == [want] * 15
    assert pl.Series("s", texts).to_frame().select(canonical_column(pl.col("s")))["s"].to_list() == [want] * 15
    assert canonical(want) == want


BARE = {
    "600000": "SH", "510300": "SH", "900901": "SH", "688981": "SH",
    "000001": "SZ", "200002": "SZ", "300750": "SZ",
    "430489": "BJ", "833819": "BJ", "920819": "BJ",
}  # fmt: skip


@pytest.mark.parametrize(("code", "where"), BARE.items())
def test_bare_codes_need_to_be_declared(code: str, where: str) -> None:
    assert canonical(code, bare=True) == f"{code}.{where}"
    with pytest.raises(DataError):
        canonical(code)
    frame = pl.DataFrame({"s": [code]})
    assert frame.select(canonical_column(pl.col("s"), bare=True)).item() == f"{code}.{where}"
    assert frame.select(canonical_column(pl.col("s"))).item() is None


WRONG = ["", "1", "60000", "6000000", "600000.HK", "HK600000", "600000 SH", "600000SH", "x600000.SH", "SH.600000.SH", "６０００００.SH", "100001", "700001", "600000.SH\nx"]  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("text", WRONG)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(DataError) as error:
        canonical(text, bare=True)
    assert str(error.value) == (
        f"symbol: {text!r} is not a symbol; write it as 600000.SH, SH600000, sh.600000 or 600000.XSHG"
    )
    assert pl.DataFrame({"s": [text]}).select(canonical_column(pl.col("s"), bare=True)).item() is None


def test_null_stays_null() -> None:
    frame = pl.DataFrame({"s": [None, "SH600000"]}, schema={"s": pl.String})
    assert frame.select(canonical_column(pl.col("s")))["s"].to_list() == [None, "600000.SH"]


BOARDS = {
    "600000.SH": "main", "000001.SZ": "main", "002415.SZ": "main", "605499.SH": "main",
    "300750.SZ": "chinext", "301200.SZ": "chinext", "302132.SZ": "chinext",
    "688981.SH": "star", "689009.SH": "star",
    "833819.BJ": "bse", "430489.BJ": "bse", "920819.BJ": "bse",
}  # fmt: skip


@pytest.mark.parametrize(("symbol", "want"), BOARDS.items())
def test_board(symbol: str, want: str) -> None:
    assert board(symbol) == want
    assert exchange(symbol) == symbol[-2:]


def test_board_wants_a_canonical_symbol() -> None:
    with pytest.raises(DataError, match=r"^symbol: 'SH600000' is not canonical; pass it through canonical\(\) first$"):
        board("SH600000")
