"""The Chinese of phrases and notes: every note that the code can write has one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import polygrain
from polygrain.report.words import chinese

ROOT = Path(polygrain.__file__).parent
NOTES = {
    "sources/files.py": ("notes",),
    "sources/synthetic.py": ("notes",),
    "sources/ingest.py": ("_notes",),
    "execution/quotes.py": ("quotes", "_ages"),
    "exposures/build.py": ("_cap", "_lack", "_industry_gaps"),
    "exposures/industries.py": ("_notes",),
}


def example(node: ast.expr) -> str | None:
    """A text as written, 7 for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join("7" if isinstance(part, ast.FormattedValue) else str(part.value) for part in node.values)
    return None


def written(path: str, functions: tuple[str, ...]) -> Iterator[str]:
    """The sentences in functions of a file."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name in functions:
            docstring = ast.get_docstring(node, clean=False)
            parts = {part for each in ast.walk(node) if isinstance(each, ast.JoinedStr) for part in each.values}
            whole = (each for each in ast.walk(node) if isinstance(each, ast.expr) and each not in parts)
            texts = map(example, whole)
            yield from (text for text in texts if text and text.endswith(".") and " " in text and text != docstring)


def test_every_note_has_its_chinese() -> None:
    found = [text for path, functions in NOTES.items() for text in written(path, functions)]
    assert len(found) >= 26
    assert [text for text in found if not chinese(text)] == []


def test_what_a_note_holds_stands_in_its_chinese() -> None:
    assert chinese("21 stock-days left their computed price band (relistings); no limit is assumed there.").startswith(
        "21 个股票日"
    )
    assert chinese("Price limits are those of the daily table alone; none are assumed.") == (
        "涨跌停价：仅用日线表所给，其余不作假定。"
    )
    planted = (
        "Simulated market of 300 stocks without any planted signal: nothing can be predicted. No result on it says "
        "anything about real stocks."
    )
    assert "未植入任何信号" in chinese(planted)
    named = "1,204 stock-days with bars but no traded daily row are left out: 600001.SH, 600002.SH and 3 more."
    assert chinese(named) == "1,204 个股票日有 K 线而无成交的日线，已略去：600001.SH, 600002.SH and 3 more。"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5-day label", "5 日标签"),
        ("10-day label, b less a", "10 日标签，b 减 a"),
        ("484, 2021-01-04 to 2022-12-20", "484 个，2021-01-04 至 2022-12-20"),
        ("files, base bar 15min", "files，基础 K 线 15min"),
        ("09:30-11:30, 13:00-15:00: 240 minutes", "09:30-11:30, 13:00-15:00，共 240 分钟"),
        ("no phrase of ours", ""),
        # A model is called by its name.
        ("ensemble", ""),
        # What a run holds is no template of ours.
        ("Features at {0.__class__}", "{0.__class__} 的特征"),
    ],
)
def test_phrases(text: str, words: str) -> None:
    assert chinese(text) == words
