"""Exact merges: one scikit-learn estimator with the same predictions as a pool of members."""

from skmergecal.parameters.exact._merge import merge_logits, merge_probabilities
from skmergecal.parameters.exact._tree_internals import tree_with_values

__all__ = ["merge_logits", "merge_probabilities", "tree_with_values"]
