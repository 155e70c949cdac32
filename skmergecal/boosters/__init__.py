"""Boosters as they are used: stopped early by rows of their own."""

from skmergecal.boosters._early_stopped import EarlyStopped

__all__ = ["EarlyStopped"]
