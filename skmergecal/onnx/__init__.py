"""Conversion to ONNX: models that predict without Python, one row in microseconds."""

from skmergecal.onnx._register import register
from skmergecal.onnx._to_onnx import to_onnx

__all__ = ["register", "to_onnx"]
