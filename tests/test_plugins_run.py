"""Runs with plug-ins by the command line: the examples end to end, the proof, and the how-to pages word by word."""

from __future__ import annotations

import io
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import plugin_files
import polars as pl
import pytest
import tomli_w
from plugin_files import EXAMPLES
from test_cli import Command

from polygrain import pipeline
from polygrain.config import load
from polygrain.features.panels import open_panel
from polygrain.plugins import use
from polygrain.progress import Lines
from polygrain.prove import causality
from polygrain.sources.synthetic import Synthetic

# One test process makes what its tests share.
pytestmark = pytest.mark.xdist_group("plugins")

TINY = EXAMPLES / "tiny.toml"
HOW_TO = Path(__file__).parents[1] / "docs" / "how-to"
PAGES = [HOW_TO / f"own-{plug}.md" for plug in ("feature", "network", "source")]
CHANGES = [
    'plugins=["own_feature.py", "own_model.py"]',
    'network.own={kind="window_means", suffix="own", bars=2, hidden=4}',
]
# Later calls do without the seconds that a process takes to start.
OPTIONS = [word for change in (*CHANGES, "workers=1") for word in ("--set", change)]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    use(())


@pytest.fixture
def polygrain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny example's run with the examples' feature and network, in two processes."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    pipeline.run(load(TINY, CHANGES), folder=folder, base=TINY.parent, last="report", progress=Lines(io.StringIO()))
    return folder


def facts(folder: Path) -> dict:
    return json.loads((folder / "report_facts.json").read_text())


def test_every_stage_takes_them_in(folder: Path) -> None:
    panels = {panel.name.split("-")[1]: open_panel(panel) for panel in folder.parent.rglob("panel-*.npy")}
    # A bar of 60 minutes holds two base bars, and the spread needs four.
    assert panels["day"].features[-2:] == ("roll_spread", "lottery")
    assert panels["60min"].features[-1] == "lottery"
    scores = pl.read_parquet(folder / "scores.parquet")
    assert set(scores["model"]) == {"day", "60min", "ensemble", "means_own", "naive"}
    model = json.loads((folder / "models" / "means_own-5d-f0-s1.json").read_text())
    assert {name: len(panel.features) for name, panel in panels.items()} == model["features"]
    assert set(pl.read_parquet(folder / "rank_ic.parquet")["model"]) == {*scores["model"], "oracle"}
    assert "means_own" in set(pl.read_csv(folder / "tables" / "table6_biagru_multi.csv")["model"])


def test_the_run_says_what_it_was_made_from(folder: Path) -> None:
    hashes = {plugin.name: plugin.sha256 for plugin in plugin_files.example("own_feature.py", "own_model.py")}
    assert json.loads((folder / "manifest.json").read_text())["facts"]["plugins"] == hashes
    (trials,) = folder.parent.glob("store/*/trials.json")
    (trial,) = json.loads(trials.read_text())
    assert trial["plugins"] == hashes
    short = [f"{name} {sha256[:12]}" for name, sha256 in hashes.items()]
    assert trial["note"] == f"tiny: 60min, day, means_own; plug-ins {', '.join(short)}"
    known = facts(folder)
    named = [detail["value"] for detail in known["data"] if detail["label"] == "Plug-in"]
    assert named == [f"{name}, sha256 {sha256[:12]}" for name, sha256 in hashes.items()]
    model = next(model for model in known["models"] if model["name"] == "means_own")
    assert (model["kind"], model["network"], model["granularity"]) == ("mixed", "window_means", None)
    assert model["description"] == "window_means, bars 2, hidden 4, over day, 60min"
    assert [model["name"] for model in known["models"]] == ["day", "60min", "ensemble", "means_own", "oracle", "naive"]
    page = (folder / "report.html").read_text()
    assert all(name in page for name in hashes)


def test_a_second_call_skips_and_the_run_folder_alone_repeats_the_run(folder: Path, polygrain: Command) -> None:
    called = polygrain("run", str(TINY), "--out", str(folder), *OPTIONS)
    assert called.code == 0
    skipped = {line.partition(":")[0] for line in called.err.splitlines() if line.endswith("(up to date)")}
    assert skipped >= {"train", "score", "evaluate", "explain"}
    for plugin in (folder / "plugins").iterdir():
        assert plugin.read_bytes() == (EXAMPLES / plugin.name).read_bytes()
    elsewhere = folder.parent / "again"
    called = polygrain("score", str(folder / "config.toml"), "--out", str(elsewhere), "--set", "workers=1")
    assert called.code == 0
    assert not any(line.startswith("features of") for line in called.err.splitlines())
    for name in ("scores.parquet", "seed_scores.parquet"):
        assert (elsewhere / name).read_bytes() == (folder / name).read_bytes()


def test_another_text_is_another_configuration_tried(folder: Path, polygrain: Command, tmp_path: Path) -> None:
    """A changed network is fitted anew, the GRUs beside it are not, and the store counts one trial more."""
    config = tmp_path / "config.toml"
    config.write_text(TINY.read_text())
    for name in ("own_feature.py", "own_model.py"):
        (tmp_path / name).write_text((EXAMPLES / name).read_text())
    (tmp_path / "own_model.py").write_text((EXAMPLES / "own_model.py").read_text().replace("0.1", "0.2"))
    before = {model.name: model.stat().st_ino for model in (folder / "models").glob("*.safetensors")}
    called = polygrain("train", str(config), "--out", str(folder), *OPTIONS)
    assert (called.code, called.out) == (0, f"{folder.resolve() / 'models'}\n")
    assert not any(line.startswith("features of") for line in called.err.splitlines())
    after = {model.name: model.stat().st_ino for model in (folder / "models").glob("*.safetensors")}
    assert {name for name in after if after[name] != before[name]} == {n for n in before if n.startswith("means_own")}
    (trials,) = folder.parent.glob("store/*/trials.json")
    assert len(json.loads(trials.read_text())) == 2


def test_a_network_of_ones_own_alone(polygrain: Command, tmp_path: Path) -> None:
    """Without any ensemble, and with one where it has a model for every granularity."""
    (tmp_path / "mine.py").write_text(plugin_files.network())
    config = tmp_path / "config.toml"
    config.write_text(TINY.read_text())
    words = ["--set", "plugins=['mine.py']", "--set", "network={own={kind='mine'}}", "--set", "workers=1"]
    called = polygrain("run", str(config), "--out", str(tmp_path / "run"), *words)
    assert called.code == 0, called.err
    known = facts(tmp_path / "run")
    assert known["headline"] == "ensemble"
    assert [model["kind"] for model in known["models"]] == ["single", "single", "ensemble", "oracle", "naive"]
    table = (tmp_path / "run" / "report.html").read_text()
    assert "One granularity at a time" in table
    assert "One granularity at a time, GRU" not in table
    both = plugin_files.network(models="{'both': tuple(granularities)}")
    (tmp_path / "mine.py").write_text(both)
    called = polygrain(
        "run", str(config), "--out", str(tmp_path / "run"), *words, "--set", "ensemble={}", "--set", "enhancement={}"
    )
    assert called.code == 0, called.err
    assert facts(tmp_path / "run")["headline"] == "both"


def prove(
    polygrain: Command, monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, workers: int
) -> tuple[int, str]:
    """`polygrain prove` at two cutoffs, one of them within a day."""
    monkeypatch.setattr(causality, "CUTOFFS", 2)
    monkeypatch.chdir(folder)
    (folder / "own_feature.py").write_text(text)
    tree = tomllib.loads(TINY.read_text())
    names = [{"name": bar, "bar": bar, "features": "all"} for bar in ("week", "day", "60min")]
    config = folder / "config.toml"
    config.write_text(tomli_w.dumps(tree | {"plugins": ["own_feature.py"], "workers": workers, "granularity": names}))
    called = polygrain("prove", str(config))
    return called.code, called.out if called.code == 0 else called.err.splitlines()[-1]


def test_features_of_ones_own_are_proved(polygrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (EXAMPLES / "own_feature.py").read_text()
    code, said = prove(polygrain, monkeypatch, tmp_path, text, workers=2)
    assert code == 0
    assert re.match(r"2 cutoffs × 2 replacements of what comes after: 0 of [\d,]+ values differ, \d+ s\n", said)
    # Our 26 and the two of the file; half an hour and an hour of 30-minute bars can give fewer.
    assert "features, raw and normalised: 30min 13; 60min 16; day 28; week 28;" in said


def test_a_leak_in_a_feature_of_ones_own_is_caught(
    polygrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (EXAMPLES / "own_feature.py").read_text()
    honest = "    now = np.log(bars.close / bars.previous_close)\n"
    assert honest in text
    ahead = honest + "    now = np.concatenate([now[1:], now[-1:]])\n"
    code, said = prove(polygrain, monkeypatch, tmp_path, text.replace(honest, ahead), workers=1)
    assert code == 1
    assert re.fullmatch(
        r"error: known values depend on what comes after the cutoff in \d+ places; the first is raw\.\w+ lottery: .*",
        said,
    )


def test_an_error_while_it_runs_is_one_line(polygrain: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(plugin_files.feature(value="bars.clsoe"))
    config = tmp_path / "config.toml"
    config.write_text(TINY.read_text())
    said = set()
    for workers in (1, 2):
        words = ["--set", "plugins=['mine.py']", "--set", f"workers={workers}", "--out", str(tmp_path / "run")]
        called = polygrain("features", str(config), *words)
        assert called.code == 2
        said.add(called.err.splitlines()[-1])
    assert said == {"error: plugins: mine.py:8: AttributeError: 'SlotBars' object has no attribute 'clsoe'"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_how_to_pages(page: Path, polygrain: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Their file, their keys in the tiny example's config, their commands."""
    monkeypatch.setattr(causality, "CUTOFFS", 1)
    monkeypatch.chdir(tmp_path)
    (code,), (keys,), (commands,) = (blocks(page, language) for language in ("python", "toml", "sh"))
    name = code.splitlines()[0].removeprefix("# ")
    assert f"`{name}`" in page.read_text(encoding="utf-8")
    (tmp_path / name).write_text(code, encoding="utf-8")
    given = tomllib.loads(keys)
    assert given["plugins"] == [name]
    (tmp_path / "config.toml").write_text(tomli_w.dumps(tomllib.loads(TINY.read_text()) | {"workers": 1} | given))
    if page.stem == "own-source":
        names = {"symbol": "code", "date": "day", "open": "o", "high": "h", "low": "l", "close": "c"}
        names |= {"volume": "shares", "amount": "yuan"}
        Synthetic(stocks=40, days=60, bar="day").daily().select(*names).rename(names).write_csv(tmp_path / "prices.csv")
    for line in commands.splitlines():
        words = shlex.split(line)
        assert words[0] == "polygrain"
        called = polygrain(*words[1:])
        assert called.code == 0, called.err
