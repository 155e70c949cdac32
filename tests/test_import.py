"""What ``import skmergecal`` loads, and what a missing extra says."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import pickle
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier

import skmergecal
from skmergecal import (
    FineTunedClassifier,
    MergedClassifier,
    ReliabilityDisplay,
    TemperatureCalibrator,
    __version__,
)
from skmergecal._optional import optional_import
from skmergecal._training import torch_trainee

ALLOWED = {"joblib", "numpy", "scipy", "skmergecal", "sklearn", "threadpoolctl"}
# scikit-learn loads some optional packages by itself where they are installed (pandas, rich):
# they are blocked, to see that nobody else needs them.
BLOCK = "import sys; sys.modules.update(pandas=None, rich=None, charset_normalizer=None); "
SKLEARN = "import sklearn.neural_network, sklearn.model_selection, sklearn.discriminant_analysis"
SHOW = "; print(*(name for name, m in sys.modules.items() if m is not None))"


def fresh(code, *arguments):
    """The lines that a process of its own prints."""
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    return run.stdout.splitlines()


@pytest.fixture(scope="module")
def loaded():
    """Statement -> every module that is loaded once it, and those before it, have run."""
    statements = [
        "pass",
        "import skmergecal",
        "skmergecal.metrics.calibration_test",
        "from skmergecal import *",
    ]
    lines = fresh(
        BLOCK + "; ".join(s + SHOW for s in statements[:-1]) + f"\n{statements[-1]}{SHOW}"
    )
    return {s: set(line.split()) for s, line in zip(statements, lines, strict=True)}


def packages(names):
    return {name.partition(".")[0] for name in names}


def test_import_loads_no_module_outside_a_listed_set(loaded):
    ours = packages(loaded["from skmergecal import *"])
    assert "sklearn" in ours
    assert not ours & {"torch", "skorch", "matplotlib", "pandas", "hypothesis", "pytest"}
    (theirs,) = fresh(BLOCK + SKLEARN + SHOW)
    assert ours - packages(theirs.split()) - set(sys.stdlib_module_names) <= ALLOWED


def test_import_alone_loads_no_subpackage_and_no_other_package(loaded):
    names = loaded["import skmergecal"] - loaded["pass"]
    assert {name for name in names if "skmergecal" in name} == {"skmergecal", "skmergecal._version"}
    assert {name.partition(".")[0] for name in names} <= {"skmergecal", *sys.stdlib_module_names}


def test_metrics_load_neither_models_nor_pictures(loaded):
    names = loaded["skmergecal.metrics.calibration_test"] - loaded["pass"]
    ours = {name.split(".")[1] for name in names if name.startswith("skmergecal.")}
    assert "metrics" in ours
    assert not ours & {"calibration", "display", "members", "merging", "orders", "report", "tuning"}
    assert not names & {"torch", "skorch", "matplotlib"}


def for_type_checkers():
    """The imports of the ``if TYPE_CHECKING`` block: name -> module, "" for a subpackage."""
    tree = ast.parse(Path(skmergecal.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {
        alias.asname or alias.name: node.module.removeprefix("skmergecal").removeprefix(".")
        for node in block.body
        for alias in node.names
    }


def test_the_lists_of_public_names_agree():
    assert for_type_checkers() == skmergecal._SOURCES
    assert {*skmergecal._SOURCES, "__version__"} == set(skmergecal.__all__)
    assert len(skmergecal.__all__) == len(set(skmergecal.__all__))
    assert dir(skmergecal) == sorted(skmergecal.__all__)


@pytest.mark.parametrize(("name", "source"), skmergecal._SOURCES.items())
def test_a_public_name_is_its_subpackages_own(name, source):
    module = importlib.import_module(f"skmergecal.{source or name}")
    assert skmergecal.__getattr__(name) is (getattr(module, name) if source else module)
    assert getattr(skmergecal, name) is skmergecal.__getattr__(name)
    assert not source or name in module.__all__


def test_an_unknown_name_is_refused_as_python_does():
    with pytest.raises(AttributeError, match=r"^module 'skmergecal' has no attribute 'merge'$"):
        _ = skmergecal.merge
    with pytest.raises(ImportError, match="cannot import name 'merge' from 'skmergecal'"):
        exec("from skmergecal import merge")
    assert not hasattr(skmergecal, "__wrapped__")
    from skmergecal import members  # not public, but a submodule as any other

    assert inspect.ismodule(members)


X_ROWS = [[-2.0], [-1.0], [1.0], [2.0]] * 5
Y = [0, 1, 0, 1] * 5
# Each enters the registry of parameters as its subpackage loads.
WRAPPERS = {
    "calibration": lambda inner: TemperatureCalibrator(inner),
    "merging": lambda inner: MergedClassifier([("a", inner), ("b", inner)], method="parameters"),
    "tuning": lambda inner: FineTunedClassifier(inner),
}


RELOAD = """
import importlib, skmergecal
before = skmergecal.MergedClassifier
again = importlib.reload(skmergecal)
assert again is skmergecal
assert again.MergedClassifier is before is skmergecal.merging.MergedClassifier
assert again.metrics is importlib.import_module("skmergecal.metrics")
"""
UNPICKLE = """
import pickle, sys
from pathlib import Path
for path in sys.argv[1:]:
    for name in [n for n in sys.modules if n.partition(".")[0] == "skmergecal"]:
        del sys.modules[name]
    model = pickle.loads(Path(path).read_bytes())
    from skmergecal.parameters import merge_parameters, read_parameters
    merged = merge_parameters([read_parameters(model)] * 2, [0.5, 0.5])
    print(type(model).__name__, type(merged.parameters).__name__)
"""


@pytest.mark.filterwarnings("ignore")
def test_fresh_processes_reload_and_unpickle(tmp_path):
    """One process for all: skmergecal is forgotten before each model, so that all of it is new."""
    paths, models = [], []
    for subpackage, wrapper in WRAPPERS.items():
        model = wrapper(SGDClassifier(loss="log_loss", random_state=0)).fit(X_ROWS, Y)
        copied = copy.deepcopy(model)
        assert copied.predict_proba(X_ROWS).tolist() == model.predict_proba(X_ROWS).tolist()
        paths.append(tmp_path / f"{subpackage}.pkl")
        paths[-1].write_bytes(pickle.dumps(model))
        models.append(model)
    lines = fresh(RELOAD + UNPICKLE, *map(str, paths))
    assert lines == [f"{type(model).__name__} Parameters" for model in models]


def test_a_missing_extra_is_named():
    with pytest.raises(ImportError, match=r"pip install 'skmergecal\[neural\]'") as caught:
        optional_import("no_such_module", extra="neural", purpose="merging skorch members")
    assert "merging skorch members needs no_such_module" in str(caught.value)
    assert optional_import("json", extra="neural", purpose="nothing").__name__ == "json"


def small_net():
    skorch = pytest.importorskip("skorch")
    nn = pytest.importorskip("torch.nn")
    net = skorch.NeuralNetClassifier(nn.Linear(1, 2), criterion=nn.CrossEntropyLoss, verbose=0)
    X = np.array(X_ROWS, dtype=np.float32)
    return net.set_params(max_epochs=1, train_split=None).fit(X, np.array(Y))


def train():
    net = small_net()
    return lambda: torch_trainee(net)


def draw():
    return lambda: ReliabilityDisplay.from_predictions([0, 1] * 9, [0.2, 0.7] * 9)


@pytest.mark.parametrize(
    ("prepare", "package", "module", "extra"),
    [
        (train, "torch", "torch", "neural"),
        (draw, "matplotlib", "matplotlib.pyplot", "plot"),
    ],
)
def test_the_extra_that_is_named_is_what_is_missing(monkeypatch, prepare, package, module, extra):
    call = prepare()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf"needs {package}: .*'skmergecal\[{extra}\]'"):
            call()
    assert call() is not None


def test_each_extra_installs_the_package_that_needs_it():
    """The calls of ``optional_import`` against the extras of pyproject.toml."""
    root = Path(skmergecal.__file__).parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    extras = extras["project"]["optional-dependencies"]
    calls = [
        (ast.literal_eval(call.args[0]), ast.literal_eval(call.keywords[0].value))
        for file in (root / "skmergecal").rglob("*.py")
        if "optional_import(" in (text := file.read_text(encoding="utf-8"))
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "optional_import"
        if isinstance(call.args[0], ast.Constant)  # the module of skmergecal.onnx has many names
    ]
    assert {extra for _, extra in calls} >= {"neural", "plot", "boosters", "persistence"}
    for module, extra in calls:
        packages = {re.split("[><=\\[]", requirement)[0] for requirement in extras[extra]}
        assert module.partition(".")[0] in packages


def test_version():
    assert __version__.count(".") == 2
