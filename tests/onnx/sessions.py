"""What onnxruntime says of rows, compared with what the classifier says."""

from __future__ import annotations

import numpy as np
import pytest

from skmergecal.onnx import to_onnx


def feeds(X):
    """Rows as the inputs of an ONNX model."""
    if not hasattr(X, "columns"):
        return {"X": X}
    return {name: X[[name]].to_numpy() for name in X.columns}


def ask(onnx_model, X):
    """Labels and probabilities of an ONNX model."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(onnx_model.SerializeToString())
    assert [out.name for out in session.get_outputs()] == ["label", "probabilities"]
    return session.run(None, feeds(X))


def same(model, X, tolerance=1e-6):
    """Convert a classifier, compare all rows, and return the probabilities."""
    labels, proba = ask(to_onnx(model, X[:20]), X)
    expected = model.predict_proba(X)
    assert proba.dtype == np.float64
    np.testing.assert_allclose(proba, expected, atol=tolerance)
    assert (labels == model.predict(X)).all()
    return proba
