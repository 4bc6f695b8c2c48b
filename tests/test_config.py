"""The configuration: the examples, overrides by --set, the text that a run keeps, and every refusal word by word."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
import tomli_w

import polygrain
from polygrain.config import Experiment, decode, load, to_toml
from polygrain.errors import ConfigError
from polygrain.sources.files import DATA_VARIABLE, Files
from polygrain.sources.synthetic import Synthetic

EXAMPLES = Path(__file__).parents[1] / "examples"
TINY = EXAMPLES / "tiny.toml"
LISTED = sorted(path.name for path in EXAMPLES.glob("*.toml"))


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))


def tiny(*overrides: str) -> Experiment:
    return load(TINY, overrides)


@pytest.mark.parametrize("name", LISTED)
def test_examples_load_and_come_back_from_the_text_that_a_run_keeps(name: str, tmp_path: Path) -> None:
    experiment = load(EXAMPLES / name)
    assert experiment.name == name.removesuffix(".toml")
    kept = tmp_path / "elsewhere" / "config.toml"
    kept.parent.mkdir()
    kept.write_text(to_toml(experiment), encoding="utf-8")
    again = load(kept)
    assert again == experiment
    assert list(again.network) == list(experiment.network)
    assert list(again.evaluation.universes) == list(experiment.evaluation.universes)
    assert to_toml(again) == to_toml(experiment)


def test_the_examples_are_those_of_the_documentation() -> None:
    assert set(LISTED) >= {"cn_a_15min.toml", "cn_a_daily.toml", "demo.toml", "tiny.toml"}


def test_the_packaged_demo_is_the_example() -> None:
    packaged = Path(polygrain.__file__).parent / "demo.toml"
    assert packaged.read_bytes() == (EXAMPLES / "demo.toml").read_bytes()


def test_a_root_in_the_variable_s_folder(tmp_path: Path) -> None:
    source = load(EXAMPLES / "cn_a_15min.toml").source
    assert isinstance(source, Files)
    assert source.root == str(tmp_path / "data" / "cn_a")
    assert source.base_bar == "15min"


def test_paths_count_from_the_configuration(tmp_path: Path) -> None:
    text = (EXAMPLES / "cn_a_15min.toml").read_text().replace("$POLYGRAIN_REAL_DATA/cn_a", "mine")
    config = tmp_path / "config.toml"
    config.write_text(text, encoding="utf-8")
    experiment = load(config, ["store=kept"])
    assert isinstance(experiment.source, Files)
    assert experiment.source.root == str(tmp_path / "mine")
    assert experiment.store == str(tmp_path / "kept")
    assert load(config, [f"store={tmp_path}/abs"]).store == str(tmp_path / "abs")
    assert load(config).store is None


def test_a_byte_order_mark_and_chinese_text_are_read(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("﻿" + TINY.read_text().replace("SIMULATED", "模拟市场"), encoding="utf-8")
    assert load(config).note.startswith("模拟市场 market")


def test_overrides() -> None:
    changed = tiny(
        "protocol.every=3",
        "granularity.day.bar=30min",
        "granularity.60min.features=['range', 'close_ret']",
        "network.gru.encoder.hidden=32",
        "network.second={kind='single', suffix='two'}",
        "evaluation.universes.active=top 20% by amount",
        "evaluation.cost=0",
        " note = a = b ",
        "ensemble={}",
        "source.start=2022-02-01",
        "label.days=[5, 10]",
        "protocol.every=4",
    )
    assert changed.protocol.every == 4  # the last one counts
    assert [g.bar for g in changed.granularity] == ["30min", "60min"]
    assert changed.granularity[1].features == ["range", "close_ret"]
    assert changed.network["gru"].encoder.hidden == 32
    assert changed.network["second"].named("day") == "day_two"
    assert changed.evaluation.universes["active"] == "top 20% by amount"
    assert changed.evaluation.cost == 0.0
    assert changed.note == " a = b "
    assert changed.ensemble == {}
    assert isinstance(changed.source, Synthetic)
    assert changed.source.start.isoformat() == "2022-02-01"
    assert changed.label.days == [5, 10]
    rest = {"protocol", "granularity", "network", "evaluation", "note", "ensemble", "source", "label"}
    assert changed.model_dump(exclude=rest) == tiny().model_dump(exclude=rest)


def test_an_override_does_not_need_its_table() -> None:
    assert tiny("universe.base=all").universe.base == "all"
    config = load(EXAMPLES / "demo.toml", ["universe.base=not st"])
    assert config.universe.base == "not st"


FILLS = "t0_close, t1_vwap, t1_open, t1_close"
TOP = (
    "enhancement, ensemble, evaluation, exposures, granularity, label, name, network, note, panels, plugins, protocol, "
    "source, store, tune, universe, version, workers"
)
REFUSED = [
    # Keys.
    ("foo=3", f"foo: unknown key; choose from {TOP}"),
    ("nme=x", f"nme: unknown key; did you mean 'name'? choose from {TOP}"),
    (
        "protocol.trian=5",
        "protocol.trian: unknown key; did you mean 'train'? choose from chunk, clip, device, every, first_test, "
        "learning_rate, lock_after, lookback, loss, max_epochs, patience, precision, refit, seeds, train, train_min, "
        "valid, weight_decay",
    ),
    ("granularity.day.foo=1", "granularity.day.foo: unknown key; choose from bar, features, name, short_last_bar"),
    (
        "network.gru.encoder.hiden=3",
        "network.gru.encoder.hiden: unknown key; did you mean 'hidden'? choose from direction, dropout, hidden, "
        "kind, layers, pooling",
    ),
    (
        "ensemble.ensemble.member=['day']",
        "ensemble.ensemble.member: unknown key; did you mean 'members'? choose from kind, labels, members",
    ),
    ("source.root=x", "source.root: unknown key; choose from bar, days, kind, seed, start, stocks, strength"),
    # Kinds.
    ("source.kind=fils", "source: kind 'fils' is unknown; choose from 'files', 'synthetic'"),
    ("source={stocks=30}", "source: kind is missing; say which kind it is"),
    ("source.kind=3", "source: kind '3' is unknown; choose from 'files', 'synthetic'"),
    ("source=3", "source: input should be an object (given: 3)"),
    (
        "network.gru.kind=double",
        "network.gru: kind 'double' is unknown; choose from 'gbdt', 'linear', 'single', 'mixed', 'residual'",
    ),
    (
        "network.gru.kinds=double",
        "network.gru.kinds: unknown key; did you mean 'kind'? choose from encoder, kind, suffix",
    ),
    ("network.second={suffix='two'}", "network.second: kind is missing; say which kind it is"),
    (
        "ensemble.ensemble.kind=median",
        "ensemble.ensemble: kind 'median' is unknown; choose from 'attention', 'contrastive', 'mean', 'tree'",
    ),
    # Types and ranges.
    ("version=2", "version: input should be 1 (given: 2)"),
    ("name=a b", "name: string should match pattern '^[A-Za-z0-9_-]{1,60}$' (given: 'a b')"),
    ("note=3", "note: input should be a valid string (given: 3)"),
    ("workers=0", "workers: input should be greater than or equal to 1 (given: 0)"),
    ("workers=2.5", "workers: input should be a valid integer (given: 2.5)"),
    ("workers=true", "workers: input should be a valid integer (given: True)"),
    ("protocol=3", "protocol: input should be an object (given: 3)"),
    ("protocol.every=abc", "protocol.every: input should be a valid integer (given: 'abc')"),
    ("protocol.lookback=0", "protocol.lookback: input should be greater than or equal to 1 (given: 0)"),
    (
        "protocol={precision='bf16', device='cuda'}",
        "protocol.precision: bf16 is for the CPU; set it to float32, or protocol.device to cpu",
    ),
    ("protocol.device=gpu", "protocol.device: input should be 'cpu' or 'cuda' (given: 'gpu')"),
    ("protocol.loss=l1", "protocol.loss: input should be 'mse', 'ic' or 'ccc' (given: 'l1')"),
    ("source.stocks=3", "source.stocks: input should be greater than or equal to 10 (given: 3)"),
    (
        "source.start=soon",
        "source.start: input should be a valid date in the format YYYY-MM-DD, input is too short (given: 'soon')",
    ),
    ("label.days=['a']", "label.days.0: input should be a valid integer (given: 'a')"),
    ("label.target=rank", "label.target: input should be 'gaussian_rank', 'excess' or 'raw' (given: 'rank')"),
    ("granularity.day.features=3", "granularity.day.features: input should be 'all' or 'common' (given: 3)"),
    ("granularity.day.features=['a', 3]", "granularity.day.features.1: input should be a valid string (given: 3)"),
    (
        "network.gru.encoder.direction=up",
        "network.gru.encoder.direction: input should be 'forward' or 'bidirectional' (given: 'up')",
    ),
    ("evaluation.cost=-0.01", "evaluation.cost: input should be greater than or equal to 0 (given: -0.01)"),
    ("evaluation.cost=nan", "evaluation.cost: input should be a finite number (given: nan)"),
    ("evaluation.rebalance=[0]", "evaluation.rebalance: must be at least 1, not 0"),
    ("label.days=[5, 0]", "label.days: must be at least 1, not 0"),
    ("protocol.seeds=[-1]", "protocol.seeds: must be at least 0, not -1"),
    # Names that must be known, or differ.
    ("evaluation.fills=['t2_vwap']", f"evaluation.fills: unknown fill 't2_vwap'; choose from {FILLS}"),
    ("label.fill=open", f"label.fill: unknown fill 'open'; choose from {FILLS}"),
    ("granularity.day.name=60min", "granularity: '60min' is there twice; name each one once"),
    ("granularity.day.name=a-b", "granularity.a-b.name: string should match pattern '^[A-Za-z0-9]+$' (given: 'a-b')"),
    ("granularity.day.bar=year", "granularity.day.bar: 'year' is not a bar length; write 15min, day or week"),
    (
        "granularity.60min.bar=5min",
        "granularity.60min.bar: 5min is not a whole number of base bars of 30min; choose a multiple",
    ),
    (
        "granularity.60min.bar=90min",
        "granularity.60min.bar: 90min does not divide the session of 240 minutes; choose a length that does, or set "
        "short_last_bar = true",
    ),
    ("label.days=[5, 5]", "label.days: 5 is there twice; name each one once"),
    ("protocol.seeds=[1, 2, 1]", "protocol.seeds: 1 is there twice; name each one once"),
    ("evaluation.rebalance=[5, 5]", "evaluation.rebalance: 5 is there twice; name each one once"),
    (
        "evaluation.fills=['t1_open', 't1_open']",
        "evaluation.fills: 't1_open' is there twice; name each one once",
    ),
    (
        "ensemble.ensemble.members=['week']",
        "ensemble.ensemble.members: 'week' is no granularity; choose from day, 60min, coarsest, finest",
    ),
    (
        "ensemble.day.kind=mean",
        "network.gru: network gru with granularity day and network gru with ensemble day are both called 'day'; "
        "change a suffix or a name",
    ),
    (
        "network.second.kind=single",
        "network.second: network gru with granularity day and network second with granularity day are both called "
        "'day'; change a suffix or a name",
    ),
    (
        "ensemble.naive.kind=mean",
        "network.gru: the naive composite and network gru with ensemble naive are both called 'naive'; change a suffix "
        "or a name",
    ),
    (
        "network.gru.suffix=../x",
        "network.gru.suffix: '../x' is part of a file name; use letters, digits and _ only",
    ),
    (
        "ensemble={'a b' = {kind = 'mean'}}",
        "ensemble.a b: 'a b' is part of a file name; use letters, digits and _ only",
    ),
    # Nothing where something must be.
    ("network={}", "ensemble: no network has one model for every granularity to combine; leave it out"),
    ("protocol.seeds=[]", "protocol.seeds: list should have at least 1 item after validation, not 0"),
    ("evaluation.fills=[]", "evaluation.fills: list should have at least 1 item after validation, not 0"),
    ("evaluation.rebalance=[]", "evaluation.rebalance: list should have at least 1 item after validation, not 0"),
    ("evaluation.universes={}", "evaluation.universes: dictionary should have at least 1 item after validation, not 0"),
    ("label.days=[]", "label.days: is empty; give at least one number of trading days"),
    (
        "ensemble.ensemble.members=[]",
        "ensemble.ensemble.members: is empty; name at least one granularity, or leave the key out for all of them",
    ),
    ("granularity=[{name='day'}]", "granularity.day.bar: is required but missing; add it"),
    # Universe expressions.
    ("universe.base=not", "universe.base: 'not': ends too early; a name or a parenthesis must follow"),
    (
        "evaluation.universes.large=(csi300",
        "evaluation.universes.large: '(csi300': a closing parenthesis is missing",
    ),
    # Variables.
    ("store=$HOME/store", "store: '$HOME/store' names a variable; write the folder itself"),
    # --set itself.
    ("protocol.every", "--set: 'protocol.every' must read KEY=VALUE, for example protocol.every=2"),
    ("=3", "--set: '=3' must read KEY=VALUE, for example protocol.every=2"),
    ("name.x=3", "name: holds a value; --set 'name.x=3' cannot go below it"),
    ("granularity.week.bar=week", "granularity.week: no item is named 'week'; choose from day, 60min"),
    (
        "granularity.day=week",
        "granularity.day: is an item of a list; set a field of a named item, or granularity as a whole",
    ),
    (
        "protocol.seeds.0=3",
        "protocol.seeds.0: is an item of a list; set a field of a named item, or protocol.seeds as a whole",
    ),
    ("protocol.seeds.x.y=3", "protocol.seeds.x: no item is named 'x'; none has a name"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED, ids=[override for override, _ in REFUSED])
def test_refusals(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        tiny(override)
    assert str(refusal.value) == message
    assert refusal.value.exit_code == 2


OF_FILES = [
    (
        "source.foo=1",
        "source.foo: unknown key; choose from bars, daily, index_members, index_weights, industries, kind, limits, "
        "listings, root, session, time_zone",
    ),
    (
        "source.bars.foo=1",
        "source.bars.foo: unknown key; choose from amount, bar, columns, path, stamp, symbols, units",
    ),
    ("source.bars.stamp=mid", "source.bars.stamp: input should be 'start' or 'end' (given: 'mid')"),
    ("source.bars={path='x'}", "source.bars.bar: is required but missing; add it"),
    ("source.bars.bar=hour", "source.bars.bar: 'hour' is not a bar length; write 15min, day or week"),
    (
        "source.daily.units.volum=lot",
        "source.daily.units.volum: unknown key; did you mean 'volume'? choose from amount, volume",
    ),
    ("source.time_zone=Mars", "source.time_zone: 'Mars' is not a time zone such as Asia/Shanghai (given: 'Mars')"),
    (
        "source.root=$HOME/x",
        "source.root: '$HOME/x' names a variable; only $POLYGRAIN_REAL_DATA at the start is read",
    ),
    ("source={kind='files', root='x'}", "source: has neither bars nor daily; name at least one"),
]


@pytest.mark.parametrize(("override", "message"), OF_FILES, ids=[override for override, _ in OF_FILES])
def test_refusals_of_a_source_of_files(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(EXAMPLES / "cn_a_15min.toml", [override])
    assert str(refusal.value) == message


def test_an_unset_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE)
    with pytest.raises(ConfigError) as refusal:
        load(EXAMPLES / "cn_a_daily.toml")
    assert str(refusal.value) == "source.root: the variable POLYGRAIN_REAL_DATA is not set; set it to the data's folder"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(ConfigError) as refusal:
            load(path)
        message = str(refusal.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return message.removeprefix(f"{path}: ")

    path = tmp_path / "config.toml"
    assert refused(path) == "no such file; give the path of a TOML configuration"
    assert refused(tmp_path) == "cannot be read: Is a directory; give the path of a TOML configuration"
    path.write_bytes('note = "模拟"'.encode("gb18030"))
    assert refused(path) == "is not UTF-8 text; save the configuration as UTF-8"
    path.write_text("version = 1\nname = \n")
    assert refused(path).startswith("is not valid TOML: Invalid value (at line 2")
    path.write_text("name = 'a'\nname = 'b'\n")
    assert refused(path).startswith("is not valid TOML: Cannot overwrite a value (at line 2")
    if os.geteuid() != 0:
        path.chmod(0)
        assert refused(path) == "cannot be read: Permission denied; give the path of a TOML configuration"


@pytest.mark.parametrize("key", ["granularity", "network"])
def test_what_only_training_needs(key: str) -> None:
    experiment = tiny("ensemble={}").model_copy(update={key: []})
    with pytest.raises(ConfigError) as refusal:
        experiment.check_trains()
    assert str(refusal.value) == (
        f"{key}: is missing or empty; add one, or bring scores of your own: polygrain evaluate --scores FILE"
    )
    # A source is enough for scores from elsewhere.
    source = {"version": 1, "name": "market", "source": {"kind": "synthetic", "stocks": 30, "days": 90}}
    assert decode(source, Path()).models == set()


@pytest.mark.parametrize("key", ["version", "name", "source"])
def test_required_keys(key: str, tmp_path: Path) -> None:
    tree = tomllib.loads(TINY.read_text())
    del tree[key]
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(tree))
    with pytest.raises(ConfigError) as refusal:
        load(path)
    assert str(refusal.value) == f"{key}: is required but missing; add it"
