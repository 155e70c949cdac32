"""Opinion pools, functions of arrays that combine members' probabilities and fit their weights."""

from skmergecal.pooling._classwise import fit_classwise_pool
from skmergecal.pooling._classwise import learn_classwise_pool as learn_classwise_pool
from skmergecal.pooling._classwise_fit import ClasswiseFit, CrossClassTerms
from skmergecal.pooling._combined import CombinedFit, ScaledLinearPool, fit_combined_pool
from skmergecal.pooling._combined import combined_pool_with_loo as combined_pool_with_loo
from skmergecal.pooling._combined import learn_combined_pool as learn_combined_pool
from skmergecal.pooling._greedy import greedy_selection
from skmergecal.pooling._greedy import greedy_soup as greedy_soup
from skmergecal.pooling._greedy import greedy_soup_with_replacement as greedy_soup_with_replacement
from skmergecal.pooling._greedy import select_greedily as select_greedily
from skmergecal.pooling._leave_one_out import LooOfLinearPool as LooOfLinearPool
from skmergecal.pooling._leave_one_out import LooPredictions as LooPredictions
from skmergecal.pooling._leave_one_out import loo_log_pool as loo_log_pool
from skmergecal.pooling._linear import fit_linear_pool, linear_pool
from skmergecal.pooling._linear import fit_linear_weights as fit_linear_weights
from skmergecal.pooling._logarithmic import (
    auto_log_pool_with_loo as auto_log_pool_with_loo,
)
from skmergecal.pooling._logarithmic import fit_log_pool as fit_log_pool
from skmergecal.pooling._logarithmic import fit_logarithmic_pool, logarithmic_pool
from skmergecal.pooling._logarithmic import pooled_rows as pooled_rows
from skmergecal.pooling._pool_fit import RESAMPLING as RESAMPLING
from skmergecal.pooling._pool_fit import PoolFit
from skmergecal.pooling._pool_fit import bootstrap_intervals as bootstrap_intervals
from skmergecal.pooling._score_regression import penalty_strength as penalty_strength
from skmergecal.pooling._soften import soften

__all__ = [
    "ClasswiseFit",
    "CombinedFit",
    "CrossClassTerms",
    "PoolFit",
    "ScaledLinearPool",
    "fit_classwise_pool",
    "fit_combined_pool",
    "fit_linear_pool",
    "fit_logarithmic_pool",
    "greedy_selection",
    "linear_pool",
    "logarithmic_pool",
    "soften",
]
