"""Exact merges: one plain estimator that gives what a pool of its members gives."""
