"""Exact merges: one scikit-learn estimator with the same predictions as a pool of members."""
