"""Statistics of a temperature as text, which sites exchange."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from skmergecal import TemperatureCalibrator
from skmergecal.calibration import TemperatureStatistics, fit_temperature

LABELS = {
    "ints": np.array([-3, 0, 12345678901234567]),
    "strings": np.array(["a", 'b"\n', "ü"]),
    "floats": np.array([-1.0, 0.0, 4.0]),
    "objects": np.array(["x", "y", "z"], dtype=object),
}


def statistics(X, y, **params):
    return TemperatureCalibrator(**params).partial_fit(X, y).statistics_


@pytest.mark.parametrize("name", LABELS)
def test_text_has_every_bit(name, blobs, members):
    z = members["bayes"].predict_log_proba(blobs.X_held)
    labels = LABELS[name]
    sites = [
        statistics(z[part], labels[blobs.y_held[part]], classes=labels)
        for part in (slice(0, 90), slice(90, None))
    ]
    again = [TemperatureStatistics.from_json(site.to_json()) for site in sites]
    for ours, theirs in zip(again, sites, strict=True):
        assert ours.classes == theirs.classes
        assert [type(label) for label in ours.classes] == [type(label) for label in theirs.classes]
        assert ours.limits == theirs.limits
        np.testing.assert_array_equal(ours.sums, theirs.sums)
        assert ours.to_json() == theirs.to_json()
    joint = TemperatureCalibrator.from_statistics(sum(again))
    expected = TemperatureCalibrator.from_statistics(sum(sites))
    assert joint.temperature_ == expected.temperature_
    np.testing.assert_array_equal(joint.predict_proba(z), expected.predict_proba(z))


def test_bools_and_uniform_rows(binary, binary_members):
    frozen = FrozenEstimator(binary_members["lda"])
    flags = TemperatureCalibrator(frozen, classes=[False, True])
    site = flags.partial_fit(binary.X_held, binary.y_held == 1).statistics_
    assert TemperatureStatistics.from_json(site.to_json()).classes == (False, True)
    uniform = statistics(np.zeros((4, 2)), [0, 1, 0, 1])
    assert TemperatureStatistics.from_json(uniform.to_json()).limits == uniform.limits


@pytest.mark.parametrize(("temperature", "end"), [(2.1e4, 1), (4.8e-5, 0)])
def test_an_end_of_the_interval_beyond_the_sums_is_infinite_or_0(temperature, end):
    """They reach from 4.6e-5 to 2.2e4; the fit and the other end are within."""
    y = np.arange(100) % 2
    z = np.random.default_rng(0).normal(size=(100, 2)) + np.eye(2)[y]
    plain = fit_temperature(z, y)
    scale = temperature / plain.temperature
    found = statistics(scale * z, y).fit()
    assert found.temperature == pytest.approx(temperature, rel=1e-5)
    assert found.interval[end] == [0.0, np.inf][end]
    assert found.interval[1 - end] == pytest.approx(scale * plain.interval[1 - end], rel=1e-5)


def test_labels_that_json_has_not_are_an_error():
    dates = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")
    site = statistics(np.eye(2) * 3, dates)
    with pytest.raises(TypeError, match=r"JSON has no date such as the label .*encode labels"):
        site.to_json()
    assert statistics(np.eye(2) * 3, dates.astype(str)).to_json()  # the remedy


def test_other_texts_are_refused():
    good = json.loads(statistics(np.eye(3) * 3, [0, 1, 2]).to_json())
    changes = [
        {"format": "skmergecal.TemperatureStatistics 2"},
        {"more": 1},
        {"classes": [0, 1, 1]},
        {"classes": [0, 1, [2]]},
        {"classes": 7},
        {"limits": {}},
        {"limits": {**good["limits"], "total": "nan"}},
        {"limits": {**good["limits"], "total": 0}},
        {"limits": {**good["limits"], "gap": "inf"}},
        {"sums": good["sums"][:2]},
        {"sums": [[None] * 128] * 3},
        {"sums": [[True] * 128] * 3},
        {"sums": [[10**400] * 128] * 3},
        {"sums": "inf"},
    ]
    texts = [json.dumps({**good, **change}) for change in changes]
    texts += ["", "[]", "{}", "[" * 100_000, json.dumps({**good, "format": None})]
    for text in texts:
        with pytest.raises(ValueError, match=r"not the text of TemperatureStatistics\.to_json"):
            TemperatureStatistics.from_json(text)
    TemperatureStatistics.from_json(json.dumps(good))  # the remedy
    with pytest.raises(ValueError, match="not the text of"):
        TemperatureStatistics.from_json(None)
