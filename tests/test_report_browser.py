"""The page in a real browser, opened from the disk: what a reader presses works, and nothing is loaded."""

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from portfolio_files import write_portfolios
from reference_report import facts, models, write_run
from test_compare import made_up

from polygrain.report.compare import compare, write
from polygrain.report.page import write_report

webdriver = pytest.importorskip("selenium.webdriver")
ui = pytest.importorskip("selenium.webdriver.support.ui")
axe_core_python = pytest.importorskip("axe_core_python")
Keys = webdriver.Keys
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver on this machine"),
    pytest.mark.xdist_group("browser"),
]
DESKTOP, PHONE = 1280, 360
PAIRS, TABLE1 = "#model_pairs", "#table1_single_granularity"


class Reader:
    """A headless Chromium with the report open; `open` starts afresh."""

    def __init__(self, driver: Any, page: Path) -> None:
        self.driver, self.page = driver, page

    def open(self, width: int = DESKTOP, *, dark: bool = False, language: str = "en-US") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        agent = self.js("return navigator.userAgent")
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": agent, "acceptLanguage": language})
        self.driver.get(self.page.as_uri())
        self.wait("return [...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> None:
        ui.WebDriverWait(self.driver, 20, 0.05).until(lambda _: self.js(script))

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, selector: str) -> None:
        self.js("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", self.find(selector))
        self.find(selector).click()

    def column(self, table: str, column: int) -> list[list[str]]:
        """The texts of a column, block by block."""
        found: list[list[str]] = self.js(
            "return [...document.querySelector(arguments[0] + ' table').tBodies].map(body =>"
            " [...body.rows].slice(1).map(row => row.cells[arguments[1]].textContent))",
            table,
            column,
        )
        return found

    def barriers(self) -> list[tuple[str, str]]:
        """What axe finds that keeps some from reading the page: its rule and the first element."""
        self.js((Path(axe_core_python.__file__).parent / "axe.min.js").read_text("utf-8"))
        found = self.driver.execute_async_script("axe.run({ resultTypes: ['violations'] }).then(arguments[0])")
        assert len(found["passes"]) > 20
        return [
            (each["id"], each["nodes"][0]["html"])
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ]

    def pasted(self) -> list[list[str]]:
        """What lies on the clipboard, read as CSV."""
        self.js("document.body.append(Object.assign(document.createElement('textarea'), { id: 'paste' }))")
        area = self.find("#paste")
        area.send_keys(Keys.CONTROL, "v")
        text = area.get_property("value")
        self.js("arguments[0].remove()", area)
        return list(csv.reader(io.StringIO(text)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("run") / "a", count=125)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def browser(run: Path) -> Iterator[Reader]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--hide-scrollbars", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield Reader(driver, run / "report.html")
    finally:
        driver.quit()


def test_it_opens_without_a_complaint_or_a_request(browser: Reader) -> None:
    browser.driver.get_log("performance")
    browser.open()
    assert browser.driver.get_log("browser") == []
    assert browser.js("return performance.getEntriesByType('resource').length") == 0
    events = [json.loads(line["message"])["message"] for line in browser.driver.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith("data:")} == {browser.page.as_uri()}

    tables = browser.js(
        "return [...document.querySelectorAll('tbody')].map(body => body.querySelectorAll('td').length)"
    )
    assert len(tables) > 20
    assert min(tables) > 0
    assert (
        browser.js("return [...document.querySelectorAll('#tables tbody td')].filter(cell => !cell.textContent).length")
        == 0
    )
    alternatives = browser.js("return [...document.querySelectorAll('.plot')].map(plot => plot.ariaLabel)")
    assert len(alternatives) == 11
    for text in alternatives:
        assert text.count(";") >= 2
    assert "ensemble1_biagru 0.0" in alternatives[0]

    browser.press('[data-group="rank_ic_by_model"] [data-option="10-day label"]')
    pressed = browser.js("return document.querySelector('.plot').ariaLabel")
    assert ("10-day label" in pressed, "10-day label" in alternatives[0]) == (True, False)


def test_the_first_paint_does_not_wait_for_the_figures(browser: Reader) -> None:
    def painted() -> float:
        browser.open()
        found: float = browser.js("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
        return found

    # Three tries: other work on the machine takes its share.
    assert any(painted() < 1000 for _ in range(3))


def test_a_heading_sorts_within_labels_and_what_is_missing_comes_last(browser: Reader) -> None:
    browser.open()
    heading = browser.find(f"{PAIRS} thead tr:last-child th:nth-child(2)")
    button = heading.find_element("css selector", "button")
    before = browser.column(PAIRS, 1)
    # A model less itself is missing: so in every block that holds the first column's model.
    assert sum("–" in block for block in before) == 2

    def numbers(block: list[str]) -> list[float]:
        return [float(text.split(" ")[0].replace("−", "-")) for text in block if text != "–"]

    for key, direction, reverse in ((Keys.ENTER, "descending", True), (Keys.SPACE, "ascending", False)):
        button.send_keys(key)
        assert heading.get_attribute("aria-sort") == direction
        after = browser.column(PAIRS, 1)
        for old, new in zip(before, after):
            assert sorted(new) == sorted(old)
            assert numbers(new) == sorted(numbers(old), reverse=reverse)
            assert new.index("–") == len(new) - 1 if "–" in new else True
    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") is None
    assert browser.column(PAIRS, 1) == before

    browser.press(f"{TABLE1} th.model .sort")
    assert browser.column(TABLE1, 0)[0] == ["30min", "60min", "day"]


@pytest.mark.parametrize("clipboard", [True, False])
def test_a_table_is_copied_as_it_is_shown(browser: Reader, run: Path, clipboard: bool) -> None:
    browser.open()
    if not clipboard:
        browser.js("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    browser.press(f"{TABLE1} thead tr:last-child th:nth-child(2) .sort")
    browser.press(f"{TABLE1} .copy")
    browser.wait("return document.querySelector('[role=status]').innerText")
    assert browser.find("[role=status]").text == "Copied as CSV: 7 rows"
    # Announced, and the reader is where the reader was.
    assert browser.driver.switch_to.active_element == browser.find(f"{TABLE1} .copy")

    header, *rows = browser.pasted()
    file = pl.read_csv(run / "tables" / "table1_single_granularity.csv")
    assert set(header) < set(file.columns)
    assert header[:4] == ["label_days", "model", "rank_ic", "rank_ic_se"]
    order = [1 if days == 5 else 2 if days == 10 else 3 for days in file["label_days"]]
    expected = file.with_columns(pl.Series("order", order)).sort("order", -pl.col("rank_ic")).select(header).rows()
    for row, values in zip(rows, expected, strict=True):
        for text, value in zip(row, values, strict=True):
            assert text == "" if value is None else type(value)(text) == value


def test_one_language_at_a_time_or_both(browser: Reader) -> None:
    shown = (
        "return ['.en', '.zh'].map(kind => [...document.querySelectorAll(kind)].some(text => text.offsetParent))"
        ".concat(document.documentElement.lang, document.querySelector('.ytitle').textContent)"
    )
    english, chinese = "cumulative Rank IC", "累计 Rank IC"
    for language, expected in (
        ("zh-CN", [False, True, "zh-CN", chinese]),
        ("de-DE", [True, True, "en", english]),
        ("en-US", [True, False, "en", english]),
    ):
        browser.open(language=language)
        assert browser.js(shown) == expected
    for choice, expected in (
        ("zh", [False, True, "zh-CN", chinese]),
        ("both", [True, True, "en", english]),
        ("en", [True, False, "en", english]),
    ):
        browser.press(f"[data-speak={choice}]")
        assert browser.js(shown) == expected
        pressed = browser.js("return [...document.querySelectorAll('[data-speak][aria-pressed=true]')]")
        assert [button.get_attribute("data-speak") for button in pressed] == [choice]


def test_one_switch_shows_the_broker_reports_figures(browser: Reader) -> None:
    browser.open()
    visible = "return [...document.querySelectorAll('.published')].map(part => part.offsetParent !== null)"
    # Under five tables and seven places of figures.
    assert browser.js(visible) == [False] * 12
    for shown in (True, False):
        browser.press(".show-published")
        assert browser.js(visible) == [shown] * 12
        assert browser.find(".show-published").get_attribute("aria-pressed") == str(shown).lower()


def test_the_broker_reports_figure_is_of_the_choice_or_says_which_there_is(browser: Reader) -> None:
    browser.open()
    browser.press(".show-published")
    by_year = '[data-group="excess_by_year"]'
    theirs = "return document.querySelector(arguments[0] + ' .theirs').ariaLabel"
    said = "return document.querySelector(arguments[0] + ' .theirs').innerText"
    assert browser.js(said, by_year) == (
        "The broker report does not show this choice. It shows: 10-day label · Top 10% · before costs"
    )
    for option in ("10-day label", "Top 100", "before costs"):
        browser.press(f'{by_year} [data-option="{option}"]')
    label = browser.js(theirs, by_year)
    assert label.startswith("R88, Figures 8 and 9")
    assert "ensemble1_biagru 2017 24.4%" in label
    assert browser.find(f"{by_year} .theirs .main-svg").is_displayed()
    # It has the colours of the theme and the words of the reader, as ours have.
    browser.press("[data-speak=zh]")
    assert "年化" in browser.js("return document.querySelector(arguments[0] + ' .theirs').textContent", by_year)
    browser.press(f'{by_year} [data-option="5-day label"]')
    assert browser.js(said, by_year) == "研报没有这一选项的图，有的是：10 日标签 · 前 10% · 费前"


def test_the_first_screen_holds_its_answers(browser: Reader) -> None:
    for language in ("en-US", "zh-CN"):
        browser.open(1440, language=language)
        bottom = browser.js("return document.querySelector('.models table').getBoundingClientRect().bottom")
        assert bottom <= 900
        texts = browser.js("return [...document.querySelectorAll('.answer')].map(answer => answer.innerText)")
        assert len(texts) == 4
        assert all(re.search(r"\d", text) for text in texts)
        width = browser.js(
            "const box = document.querySelector('.models .scroll'); return box.scrollWidth - box.clientWidth"
        )
        assert width <= 0


@pytest.mark.parametrize(("width", "dark"), [(DESKTOP, False), (PHONE, True)])
def test_it_fits_and_anyone_can_read_it(browser: Reader, width: int, dark: bool) -> None:
    browser.open(width, dark=dark)
    browser.press(".show-published")
    browser.press("[data-speak=both]")
    assert browser.js("return [innerWidth, document.documentElement.scrollWidth]") == [width, width]
    # The names of the models stay where they are while a wide table is moved.
    edge = "return document.querySelector('#model_pairs tbody th.model').getBoundingClientRect().left"
    before = browser.js(edge)
    assert browser.js(
        "const box = document.querySelector('#model_pairs .scroll'); box.scrollLeft = 99; return box.scrollLeft"
    )
    assert browser.js(edge) == before

    assert browser.barriers() == []


@pytest.fixture(scope="module")
def comparison(browser: Reader, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """The page of two simulated runs, one of them without a model of the other."""
    root = tmp_path_factory.mktemp("runs")
    seeds = {"before": 7, "after": 8}
    folders = [made_up(root / name, seed=seed, name=name, simulated=True) for name, seed in seeds.items()]
    fewer = facts(name="after", simulated=True, models=[model for model in models() if model["name"] != "60min"])
    (folders[1] / "report_facts.json").write_text(json.dumps(fewer), "utf-8")
    write(compare(folders), root / "comparison.html")
    return Reader(browser.driver, root / "comparison.html")


def test_the_comparison_sorts_and_copies_as_the_report_does(comparison: Reader) -> None:
    comparison.open()
    place = comparison.js(
        "return [...document.querySelectorAll('#differences thead tr:last-child th')]"
        ".findIndex(heading => heading.dataset.columns?.includes('rank_ic_difference'))"
    )
    comparison.press(f"#differences thead tr:last-child th:nth-child({place + 1}) .sort")
    for block in comparison.column("#differences", place):
        differences = [float(text.split(" ")[0].replace("−", "-")) for text in block]
        assert differences == sorted(differences, reverse=True)
    comparison.press("#differences .copy")
    comparison.wait("return document.querySelector('[role=status]').innerText")
    header, *rows = comparison.pasted()
    file = pl.read_csv(comparison.page.with_suffix(".csv"))
    assert set(header) < set(file.columns)
    kept = {(days, model): figure for days, model, figure in file.select("label_days", "model", header[5]).rows()}
    assert {(int(row[0]), row[1]): float(row[5]) for row in rows} == kept
    # What stands in no pair has no file.
    assert comparison.js("return document.querySelectorAll('#alone .copy').length") == 0
    assert comparison.js("return document.querySelectorAll('#alone .sort').length") > 0


def test_the_comparison_reads_in_chinese_alone(comparison: Reader) -> None:
    comparison.open(PHONE, language="zh-CN")
    said: list[str] = comparison.js(
        "return [...document.querySelectorAll('h2, .lead, .brand, .simulated, .links a, .tools button, thead button,"
        " .groups .named, tbody .block, figcaption, .slot button, .conventions, footer')]"
        ".map(each => each.innerText)"
    )
    assert len(said) > 40
    assert [text for text in said if text and not re.search("[\u4e00-\u9fff]", text)] == []
    assert comparison.js("return [...document.querySelectorAll('.en')].some(text => text.offsetParent)") is False
    assert comparison.js("return [innerWidth, document.documentElement.scrollWidth]") == [PHONE, PHONE]
    assert comparison.barriers() == []


def test_keys_lead_past_the_navigation(browser: Reader) -> None:
    browser.open()
    browser.find("body").send_keys(Keys.TAB)
    skip = browser.driver.switch_to.active_element
    assert (skip.text, skip.is_displayed()) == ("Skip to the results", True)
    outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    skip.send_keys(Keys.ENTER)
    assert browser.js("return location.hash") == "#overview"


def test_paper_is_light_and_has_no_buttons(browser: Reader) -> None:
    browser.open(dark=True)
    assert browser.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    # Back on the screen it is dark again.
    ink = "return getComputedStyle(document.documentElement).getPropertyValue('--ink')"
    assert browser.js(ink) == "#e6e4df"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert browser.js(ink) == "#1d2126"
    buttons = "return [...document.querySelectorAll('button')].filter(each => each.offsetParent)"
    # What a figure's chosen option says is text there.
    assert {button.get_attribute("aria-pressed") for button in browser.js(buttons)} == {"true"}


@pytest.fixture
def enhanced(browser: Reader, tmp_path: Path) -> Reader:
    run = write_run(tmp_path / "enhanced", count=40)
    write_portfolios(run, count=300)
    return Reader(browser.driver, write_report(run))


def test_index_enhancement_sorts_copies_and_reads_in_chinese_alone(enhanced: Reader) -> None:
    enhanced.open(language="zh-CN")
    table = "#table10_csi500_by_year"
    periods = (
        "return [...document.querySelectorAll(arguments[0] + ' > .table tbody th')].map(each => each.innerText.trim())"
    )
    assert enhanced.js(periods, table) == ["2024 非整年", "2025 非整年", "全部"]
    enhanced.press(f"{table} thead .sort")
    enhanced.press(f"{table} thead .sort")
    assert enhanced.js(periods, table) == ["全部", "2025 非整年", "2024 非整年"]
    enhanced.press(f"{table} .copy")
    enhanced.wait("return document.querySelector('[role=status]').innerText")
    header, *rows = enhanced.pasted()
    with (enhanced.page.parent / "tables" / "table10_csi500_by_year.csv").open() as file:
        theirs, *expected = list(csv.reader(file))
    assert sorted(header) == sorted(theirs)
    assert [row[0] for row in rows] == [row[0] for row in expected[::-1]]
    enhanced.press(".show-published")
    assert enhanced.js("return document.querySelector('#table10_csi500_by_year-published').offsetParent !== null")
    said: list[str] = enhanced.js(
        "return [...document.querySelectorAll('.enhanced, #enhancement :is(h2, h3, .lead, .groups .named, .sort,"
        " .block, figcaption, .plot .ytitle)')].map(each => each.innerText ?? each.textContent)"
    )
    assert len(said) > 100
    assert [text for text in said if text and not re.search("[\u4e00-\u9fff]|^[A-Z0-9 ]+$", text)] == []
    enhanced.open(PHONE)
    assert enhanced.js("return [innerWidth, document.documentElement.scrollWidth]") == [PHONE, PHONE]
    assert enhanced.barriers() == []
