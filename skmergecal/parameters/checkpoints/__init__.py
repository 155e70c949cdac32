"""Checkpoints: safetensors files, merged without loading their models."""
