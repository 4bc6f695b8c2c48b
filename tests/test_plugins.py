"""Plug-ins: what is loaded, once and where, every refusal, what a change computes anew, and what processes know."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import plugin_files
import pytest
import training_data
from ragged_bars import memory, ragged

from polygrain.compute import Pool, pool
from polygrain.config import Experiment, load, to_toml
from polygrain.errors import ConfigError
from polygrain.features.build import build
from polygrain.features.granularity import Granularity
from polygrain.features.library import FEATURES, chosen
from polygrain.market.session import Session
from polygrain.models.network import NETWORKS, decode
from polygrain.plugins import Plugin, blaming, use
from polygrain.sources.ingest import ingest
from polygrain.sources.source import SOURCES
from polygrain.training.walk_forward import TrainTask, train

TINY = plugin_files.EXAMPLES / "tiny.toml"
OURS = {"feature": list(FEATURES), "network": list(NETWORKS), "source": list(SOURCES)}


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    use(())


def registered() -> dict[str, list[str]]:
    return {"feature": list(FEATURES), "network": list(NETWORKS), "source": list(SOURCES)}


def plugin(text: str, name: str = "mine.py") -> Plugin:
    return Plugin(name=name, text=text)


def write(folder: Path, **texts: str) -> Path:
    """Plug-ins, and the tiny example beside them as config.toml."""
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    config = folder / "config.toml"
    config.write_text(TINY.read_text(encoding="utf-8"), encoding="utf-8")
    return config


def test_exactly_the_plugins_in_use_stand_behind_ours() -> None:
    one, two = plugin(plugin_files.feature("one"), "one.py"), plugin(plugin_files.feature("two"), "two.py")
    use([one, two])
    assert list(FEATURES) == [*OURS["feature"], "one", "two"]
    use([two])
    assert list(FEATURES) == [*OURS["feature"], "two"]
    assert FEATURES.hashes(FEATURES) == {"two": two.sha256}
    use([two, one])
    assert list(FEATURES) == [*OURS["feature"], "two", "one"]
    use([plugin(plugin_files.network()), plugin(plugin_files.source(), "source.py")])
    assert registered() == {
        "feature": OURS["feature"],
        "network": [*OURS["network"], "mine"],
        "source": [*OURS["source"], "mine"],
    }
    use([])
    assert registered() == OURS


def test_a_text_is_run_once_a_process_and_can_be_imported(tmp_path: Path) -> None:
    log = tmp_path / "log"
    text = f"with open({str(log)!r}, 'a') as file:\n    file.write(__name__ + '\\n')\nvalue = 3\n"
    digest = sha256(text.encode()).hexdigest()
    for _ in range(3):
        use([plugin(text)])
        use([])
    # The same text from another place is the same plug-in.
    use([plugin(text, "copy.py")])
    assert log.read_text() == f"polygrain_plugin_{digest[:12]}\n"
    assert sys.modules[f"polygrain_plugin_{digest[:12]}"].value == 3
    assert plugin(text).sha256 == digest


def test_its_classes_can_be_sent_to_other_processes() -> None:
    use([plugin(plugin_files.network())])
    mine = decode('{"kind": "mine", "scale": 2.0}')
    assert pickle.loads(pickle.dumps(mine)) == mine  # noqa: S301


CLASH = "is registered by {} and {}; rename one"
REFUSED = [
    ("['none.py']", "none.py: there is no file at {folder}/none.py; paths count from the configuration"),
    ("['config.toml']", "config.toml: is not a file of Python; its name must end in .py"),
    ("['folder.py']", "folder.py: cannot be read: Is a directory; give the path of a file"),
    ("['gbk.py']", "gbk.py: is not UTF-8 text; save it as UTF-8"),
    ("['$HOME/mine.py']", "'$HOME/mine.py' names a variable; write the path itself"),
    ("'mine.py'", 'must be a list of paths of Python files, such as ["my_features.py"]'),
    ("[3]", 'must be a list of paths of Python files, such as ["my_features.py"]'),
    ("['mine.py', './mine.py']", "two files are called mine.py; name each one once, and rename one of two"),
    ("['syntax.py']", "syntax.py:2: is not valid Python: expected ':'"),
    ("['raises.py']", "raises.py:3: KeyError: 'none'"),
    ("['exits.py']", "exits.py:2: SystemExit: 5"),
    ("['imports.py']", "imports.py:1: ModuleNotFoundError: No module named 'nowhere'"),
    (
        "['neighbour.py']",
        "neighbour.py: imports mine.py, the file beside it, whose changes would go unnoticed; put both into one file, "
        "or install what it imports",
    ),
    ("['twice.py']", f"twice.py:13: feature mine: {CLASH.format('twice.py', 'twice.py')}"),
    ("['mine.py', 'copy.py']", f"copy.py: feature mine: {CLASH.format('mine.py', 'copy.py')}"),
    ("['mine.py', 'other.py']", f"other.py:5: feature mine: {CLASH.format('mine.py', 'other.py')}"),
    ("['range.py']", f"range.py:5: feature range: {CLASH.format('polygrain.features.library.range_', 'range.py')}"),
    (
        "['single.py']",
        f"single.py:6: network kind single: {CLASH.format('polygrain.models.single.Single', 'single.py')}",
    ),
    ("['files.py']", f"files.py:7: source kind files: {CLASH.format('polygrain.sources.files.Files', 'files.py')}"),
    ("['odd.py']", "odd.py:7: source kind ../x: is part of file names; use letters, digits and _ only"),
    ("['kindless.py']", 'kindless.py:6: network Mine: has no kind; give it one: kind: Literal["mine"] = "mine"'),
    ("['sourceless.py']", 'sourceless.py:7: source Mine: has no kind; give it one: kind: Literal["mine"] = "mine"'),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[value for value, _ in REFUSED])
def test_refusals(value: str, reason: str, tmp_path: Path) -> None:
    config = write(
        tmp_path,
        mine=plugin_files.feature(),
        copy=plugin_files.feature(),
        other=plugin_files.feature(value="bars.close"),
        twice=plugin_files.feature() + plugin_files.feature(),
        range=plugin_files.feature("range_"),
        single=plugin_files.network("single"),
        files=plugin_files.source("files"),
        odd=plugin_files.source("../x"),
        kindless=plugin_files.network().replace('    kind: Literal["mine"] = "mine"\n', ""),
        sourceless=plugin_files.source().replace('    kind: Literal["mine"] = "mine"\n', ""),
        syntax="x = 1\nif x\n    pass\n",
        raises="empty = {}\n\nempty['none']\n",
        exits="import sys\nsys.exit(5)\n",
        imports="import nowhere\n",
        neighbour="def later():\n    from mine import mine\n",
    )
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "gbk.py").write_bytes("x = '模拟'".encode("gb18030"))
    with pytest.raises(ConfigError) as refusal:
        load(config, [f"plugins={value}"])
    assert str(refusal.value) == f"plugins: {reason.format(folder=tmp_path)}"
    assert registered() == OURS


def test_a_file_that_is_mended_is_loaded(tmp_path: Path) -> None:
    broken = plugin_files.feature() + "\nraise ValueError('not yet')\n"
    config = write(tmp_path, mine=broken)
    with pytest.raises(ConfigError, match=r"^plugins: mine\.py:10: ValueError: not yet$"):
        load(config, ["plugins=['mine.py']"])
    write(tmp_path, mine=plugin_files.feature())
    load(config, ["plugins=['mine.py']"])
    assert list(FEATURES) == [*OURS["feature"], "mine"]


def test_a_plugin_that_imports_ours_first_does_not_own_it() -> None:
    program = (
        "from polygrain.plugins import Plugin, use\n"
        "use([Plugin(name='own.py', text='from polygrain.features.library import FEATURES\\n')])\n"
        "from polygrain.features.library import FEATURES\n"
        "assert FEATURES and not FEATURES.hashes(FEATURES)\n"
        "use([])\n"
        "assert 'range' in FEATURES\n"
    )
    # Nothing of ours is there in a process that has just started.
    subprocess.run([sys.executable, "-c", program], check=True)


KINDS = [
    ("source.kind=mien", "source: kind 'mien' is unknown; choose from 'files', 'synthetic', 'mine'"),
    (
        "network.gru.kind=mien",
        "network.gru: kind 'mien' is unknown; choose from 'gbdt', 'linear', 'single', 'mixed', 'residual', 'mine'",
    ),
    (
        "network.own={kind='mine', scael=2}",
        "network.own.scael: unknown key; did you mean 'scale'? choose from kind, layers, scale, suffix",
    ),
    ("network.own={kind='mine', layers=1.5}", "network.own.layers: input should be a valid integer (given: 1.5)"),
    (
        "network.own={kind='mine'}",
        "network.own: network gru with granularity day and network own with granularity day "
        "are both called 'day'; change a suffix or a name",
    ),
    (
        "source={kind='mine', stokcs=3}",
        "source.stokcs: unknown key; did you mean 'stocks'? choose from kind, start, stocks",
    ),
    ("source={kind='mine', start=2021}", "source.start: input should be a valid date (given: 2021)"),
]


@pytest.mark.parametrize(("override", "message"), KINDS, ids=[override for override, _ in KINDS])
def test_kinds_of_plugins_are_refused_like_ours(override: str, message: str, tmp_path: Path) -> None:
    config = write(tmp_path, network=plugin_files.network(), source=plugin_files.source())
    with pytest.raises(ConfigError) as refusal:
        load(config, ["plugins=['network.py', 'source.py']", override])
    assert str(refusal.value) == message


def test_an_experiment_with_plugins_is_text_and_back(tmp_path: Path) -> None:
    config = write(tmp_path, network=plugin_files.network(), source=plugin_files.source())
    changes = ["network.own={kind='mine', suffix='own', scale=2.5}", "source={kind='mine', start=2021-02-01}"]
    experiment = load(config, ["plugins=['network.py', 'source.py']", *changes])
    assert type(experiment.network["own"]).__name__ == type(experiment.source).__name__ == "Mine"
    # What is sent to other processes holds the text.
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment
    kept = tmp_path / "run"
    (kept / "plugins").mkdir(parents=True)
    (kept / "config.toml").write_text(to_toml(experiment), encoding="utf-8")
    for each in experiment.plugins:
        (kept / each.place).write_text(each.text, encoding="utf-8")
    assert load(kept / "config.toml") == experiment


MODELS = [
    ("{}", "network.own: has no models for these granularities; leave it out"),
    ("{'both': ('day', 'week')}", "network.own: both reads 'week', which is no granularity; there are day, 60min"),
    ("{'both': ('day', 'day')}", "network.own: both must read each of its granularities once, and at least one"),
    ("{'both': ()}", "network.own: both must read each of its granularities once, and at least one"),
    ("int('x')", "plugins: network.py:13: ValueError: invalid literal for int() with base 10: 'x'"),
    ("{'a-b': ('day',)}", "network.own: 'a-b' is part of a file name; use letters, digits and _ only"),
    (
        "{'naive': tuple(granularities)}",
        "network.own: the naive composite and network own with granularities day, 60min are both called 'naive'; "
        "change a suffix or a name",
    ),
]


@pytest.mark.parametrize(("models", "message"), MODELS)
def test_models_that_cannot_be(models: str, message: str, tmp_path: Path) -> None:
    config = write(tmp_path, network=plugin_files.network(models=models))
    with pytest.raises(ConfigError) as refusal:
        load(config, ["plugins=['network.py']", "network.own={kind='mine'}"])
    assert str(refusal.value) == message


def test_an_ensemble_needs_a_model_for_every_granularity(tmp_path: Path) -> None:
    both = "{'both': tuple(granularities)}"
    config = write(tmp_path, network=plugin_files.network(models=both))
    only = ["plugins=['network.py']", "network={own={kind='mine'}}"]
    with pytest.raises(ConfigError) as refusal:
        load(config, only)
    reason = "no network has one model for every granularity to combine; leave it out"
    assert str(refusal.value) == f"ensemble: {reason}"
    assert load(config, [*only, "ensemble={}"]).network["own"].alone(["day", "60min"]) == {}
    # Beside one that has them it is allowed, and may even be called like an ensemble of it would be.
    load(config, ["plugins=['network.py']", "network.own={kind='mine'}"])


@pytest.mark.parametrize(
    ("models", "alone"),
    [
        ("{'a': ('day',), 'b': ('60min',)}", {"day": "a", "60min": "b"}),
        ("{'a': ('day',), 'b': ('60min',), 'c': ('day', '60min')}", {"day": "a", "60min": "b"}),
        ("{'a': ('day',)}", {}),
        ("{'a': ('day',), 'b': ('day',)}", {}),
        ("{'a': ('day',), 'b': ('day',), 'c': ('60min',)}", {}),
    ],
)
def test_which_models_an_ensemble_averages(models: str, alone: dict[str, str]) -> None:
    use([plugin(plugin_files.network(models=models))])
    assert decode('{"kind": "mine"}').alone(["day", "60min"]) == alone


def test_features_of_plugins_are_chosen_and_refused_like_ours() -> None:
    text = plugin_files.feature("long").replace("min_bars=1", "min_bars=8") + plugin_files.feature("shares").replace(
        "min_bars=1", 'min_bars=1, needs="float_shares"'
    )
    use([plugin(text)])
    day, hour = Granularity(name="day", bar="day"), Granularity(name="60min", bar="60min")
    found = chosen([day, hour], Session(), "30min", frozenset({"amount"}))
    assert found["day"][-1] == "long"
    assert "long" not in found["60min"]
    assert "shares" not in found["day"]
    for granularity, name, reason in (
        (hour, "long", "long needs 8 base bars, and a bar of 60min holds 2 of 30min; leave it out or use a longer bar"),
        (day, "shares", "shares needs float_shares, which the source does not have; leave it out"),
        (day, "lnog", f"there is no feature 'lnog'; choose from {', '.join(FEATURES)}"),
    ):
        named = granularity.model_copy(update={"features": [name]})
        with pytest.raises(ConfigError) as refusal:
            chosen([named], Session(), "30min", frozenset({"amount"}))
        assert str(refusal.value) == f"granularity.{granularity.name}.features: {reason}"


def known(task: str) -> tuple[list[str], str]:
    """What a process knows of features, and a network that it decodes."""
    return list(FEATURES), type(decode(task)).__module__


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_know_the_text_that_was_read(workers: int, tmp_path: Path) -> None:
    config = write(tmp_path, feature=plugin_files.feature(), network=plugin_files.network())
    experiment = load(config, ["plugins=['feature.py', 'network.py']"])
    # A file that changes or goes after it was read changes nothing.
    write(tmp_path, feature="raise ValueError")
    (tmp_path / "network.py").unlink()
    with pool(workers, experiment.plugins) as running:
        found = running.map(known, ['{"kind": "mine"}'] * 2)
    assert found == [([*OURS["feature"], "mine"], experiment.plugins[1].module)] * 2


def test_a_plugin_that_only_a_worker_refuses_is_named() -> None:
    text = "from multiprocessing import parent_process\nif parent_process():\n    raise ValueError('only here')\n"
    use([plugin(text)])
    with (
        pool(2, [plugin(text)]) as running,
        pytest.raises(ConfigError, match=r"^plugins: mine\.py:3: ValueError: only here$"),
    ):
        running.map(known, ['{"kind": "single"}'])


def computed(task: str) -> None:
    FEATURES[task].function(None)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_its_code_names_file_and_line(workers: int) -> None:
    use([plugin(plugin_files.feature())])
    with (
        pool(workers, [plugin(plugin_files.feature())]) as running,
        pytest.raises(ConfigError) as refusal,
    ):
        running.map(computed, ["mine"])
    assert str(refusal.value) == "plugins: mine.py:8: AttributeError: 'NoneType' object has no attribute 'close'"


def test_the_file_in_use_is_named_where_another_had_the_same_text() -> None:
    for name in ("first.py", "second.py"):
        use([plugin(plugin_files.feature(), name)])
        with pytest.raises(ConfigError, match=rf"^plugins: {name}:8: AttributeError"), blaming():
            computed("mine")


def test_errors_elsewhere_are_not_blamed_on_it() -> None:
    use([plugin(plugin_files.feature())])
    with pytest.raises(ZeroDivisionError), blaming():
        1 / 0
    with pytest.raises(ConfigError, match=r"^source: is refused$"), blaming():
        raise ConfigError("source", "is refused")
    with pytest.raises(ConfigError) as refusal, blaming():
        FEATURES["mine"].function(None)
    assert "    return np.log(bars.close / bars.previous_close)\n" in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("value", ["bars.close[0]", "3.0", "bars.r", "bars.close[1:]", "bars.close.T"])
def test_a_feature_of_another_shape_is_refused(value: str, tmp_path: Path) -> None:
    market = ragged(5, days=12, stocks=40, nb=4)
    store = ingest(memory(market), tmp_path / "store")
    use([plugin(plugin_files.feature(value=value))])
    day = Granularity(name="day", bar="day", features=["mine"])
    with pytest.raises(ConfigError, match=r"^feature mine: gives \(.*\), not bars × stocks \(\d+, 40\); mend it$"):
        build(store, [day], np.ones((12, 40), bool), tmp_path / "features", Pool(1))


def changed(text: str) -> str:
    """One character more."""
    return text + "\n"


def test_a_changed_feature_computes_anew_what_uses_it(tmp_path: Path) -> None:
    market = ragged(5, days=36, stocks=40, nb=4)
    store = ingest(memory(market), tmp_path / "store")
    day = Granularity(name="day", bar="day", features=["range", "mine"])
    hour = Granularity(name="60min", bar="60min", features=["range", "other"])
    plain = Granularity(name="week", bar="week", features=["range"])
    mine, other = plugin_files.feature("mine"), plugin_files.feature("other", "bars.close")

    def built(mine: str, other: str) -> dict[str, dict[str, int]]:
        """When each granularity's shards were written."""
        use([plugin(mine), plugin(other, "other.py")])
        build(store, [day, hour, plain], np.ones((36, 40), bool), tmp_path / "out", Pool(1))
        return {
            name: {p.name: p.stat().st_ino for p in (tmp_path / "out" / name).glob("*.safetensors")}
            for name in ("day", "60min", "week")
        }

    first = built(mine, other)
    assert built(mine, other) == first
    # A shard of the same bytes is left alone, so another value is asked for.
    second = built(mine.replace("np.log(", "np.log1p("), other)
    assert all(second["day"][month] != inode for month, inode in first["day"].items())
    assert second["60min"] == first["60min"]
    assert second["week"] == first["week"]
    said: list[str] = []
    use([plugin(changed(mine.replace("np.log(", "np.log1p("))), plugin(other, "other.py")])
    build(store, [day], np.ones((36, 40), bool), tmp_path / "out", Pool(1), said.append)
    assert len(said) == 3
    build(store, [hour, plain], np.ones((36, 40), bool), tmp_path / "out", Pool(1), said.append)
    assert len(said) == 3


def test_a_changed_source_is_read_anew(tmp_path: Path) -> None:
    said: list[str] = []

    def ingested(text: str, other: str) -> int:
        """How many months were read."""
        said.clear()
        use([plugin(text), plugin(other, "other.py")])
        ingest(SOURCES["mine"](), tmp_path / "store", said.append)
        return len(said)

    text, other = plugin_files.source(), plugin_files.feature()
    assert ingested(text, other) == 2
    assert ingested(text, changed(other)) == 0
    assert ingested(changed(text), other) == 2
    assert ingested(changed(text), other) == 0


def test_a_changed_network_is_fitted_anew(tmp_path: Path) -> None:
    task = training_data.write(tmp_path)
    own = TrainTask.model_validate({**task.model_dump(), "network": '{"kind": "mine"}'})

    def fitted(text: str, other: str, which: TrainTask = own) -> bool:
        use([plugin(text), plugin(other, "other.py")])
        return train(which).fitted

    text, other = plugin_files.network(), plugin_files.feature()
    assert fitted(text, other)
    assert not fitted(text, other)
    assert not fitted(text, changed(other))
    assert fitted(changed(text), other)
    assert not fitted(changed(text), other)
