"""What ``import skmergecal`` loads, and what a missing extra says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skmergecal import __version__
from skmergecal._optional import optional_import

ALLOWED = {"joblib", "numpy", "scipy", "skmergecal", "sklearn", "threadpoolctl"}
# scikit-learn loads some optional packages by itself where they are installed (pandas, rich):
# they are blocked, to see that nobody else needs them.
BLOCK = "import sys; sys.modules.update(pandas=None, rich=None, charset_normalizer=None); "
SKLEARN = "import sklearn.neural_network, sklearn.model_selection, sklearn.discriminant_analysis"
SHOW = "; print(*{name.partition('.')[0] for name, m in sys.modules.items() if m is not None})"


def loaded(statement):
    run = subprocess.run(
        [sys.executable, "-c", BLOCK + statement + SHOW], check=True, capture_output=True, text=True
    )
    return set(run.stdout.split())


def test_import_loads_no_module_outside_a_listed_set():
    ours = loaded("import skmergecal")
    assert not ours & {"torch", "skorch", "matplotlib", "pandas", "hypothesis", "pytest"}
    assert ours - loaded(SKLEARN) - set(sys.stdlib_module_names) <= ALLOWED


def test_a_missing_extra_is_named():
    with pytest.raises(ImportError, match=r"pip install 'skmergecal\[neural\]'") as caught:
        optional_import("no_such_module", extra="neural", purpose="merging skorch members")
    assert "merging skorch members needs no_such_module" in str(caught.value)
    assert optional_import("json", extra="neural", purpose="nothing").__name__ == "json"


def test_version():
    assert __version__.count(".") == 2
