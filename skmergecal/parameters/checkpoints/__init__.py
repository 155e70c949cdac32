"""Checkpoints: safetensors files, merged without loading their models."""

from skmergecal.parameters.checkpoints._merge import merge_checkpoints
from skmergecal.parameters.checkpoints._safetensors import decode, encode

__all__ = ["decode", "encode", "merge_checkpoints"]
