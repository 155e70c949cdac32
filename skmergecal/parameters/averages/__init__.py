"""Averages of parameters other than the plain one: task vectors, Fisher information."""
