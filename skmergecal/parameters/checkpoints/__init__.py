"""Checkpoints: safetensors files merged without their models."""
