"""Members: fit or freeze them, align their classes, read their log-probabilities."""

from skmergecal.members._accept import (
    check_estimator,
    check_named_estimators,
    check_pairs,
    freeze,
    freeze_all,
    freeze_known,
    freeze_labelled,
    unfrozen,
)
from skmergecal.members._cache import Cache
from skmergecal.members._collect import (
    all_frozen,
    collect,
    concatenate,
    fitted_member,
    frozen_members,
    refuse_lacking,
    warn_of_unlike,
)
from skmergecal.members._feature_names import in_known_form, warn_of_names
from skmergecal.members._fit import (
    FitTask,
    clone_member,
    cut_params,
    fit_frozen,
    sample_weight_param,
)
from skmergecal.members._fit_rows import FitRows, used_groups
from skmergecal.members._fold_average import FoldAverage, as_member
from skmergecal.members._given_folds import average_folds, rows_of_folds
from skmergecal.members._held_out import FittedWithHeldOut, collect_one
from skmergecal.members._held_out_part import Fold, HeldOutMembers, HeldOutPart
from skmergecal.members._labels import LabelledEstimator, check_classes, labels_of_codes
from skmergecal.members._member import SOFTENING_WITHOUT_ROWS, Member, Opinion, classes_of, read_raw
from skmergecal.members._one_per_partition import PartitionPlan, plan_partitions
from skmergecal.members._partitioned import (
    PartitionedMembers,
    classes_in_partitions,
    logits_in_partitions,
    read_partitions,
    read_parts,
)
from skmergecal.members._prediction_column import PredictionColumn, rows_for_columns
from skmergecal.members._predictions import Predictions
from skmergecal.members._private_net import copy_net, holds_no_nets, replace_inside
from skmergecal.members._read import (
    READERS,
    choose_reader,
    copy_fitted,
    fitted_last_step,
    has_held_out,
    is_sklearn,
    unfitted_last_step,
    with_last_step,
)
from skmergecal.members._routing import route_fit_params
from skmergecal.members._seen_rows import (
    find_members_that_saw_rows,
    find_seen_rows,
    warn_of_seen_rows,
)
from skmergecal.members._skorch import (
    as_net_input,
    is_binary_net,
    is_skorch,
    net_logits,
    net_proba,
    outputs_logits,
)

__all__ = [
    "READERS",
    "SOFTENING_WITHOUT_ROWS",
    "Cache",
    "FitRows",
    "FitTask",
    "FittedWithHeldOut",
    "Fold",
    "FoldAverage",
    "HeldOutMembers",
    "HeldOutPart",
    "LabelledEstimator",
    "Member",
    "Opinion",
    "PartitionPlan",
    "PartitionedMembers",
    "PredictionColumn",
    "Predictions",
    "all_frozen",
    "as_member",
    "as_net_input",
    "average_folds",
    "check_classes",
    "check_estimator",
    "check_named_estimators",
    "check_pairs",
    "choose_reader",
    "classes_in_partitions",
    "classes_of",
    "clone_member",
    "collect",
    "collect_one",
    "concatenate",
    "copy_fitted",
    "copy_net",
    "cut_params",
    "find_members_that_saw_rows",
    "find_seen_rows",
    "fit_frozen",
    "fitted_last_step",
    "fitted_member",
    "freeze",
    "freeze_all",
    "freeze_known",
    "freeze_labelled",
    "frozen_members",
    "has_held_out",
    "holds_no_nets",
    "in_known_form",
    "is_binary_net",
    "is_sklearn",
    "is_skorch",
    "labels_of_codes",
    "logits_in_partitions",
    "net_logits",
    "net_proba",
    "outputs_logits",
    "plan_partitions",
    "read_partitions",
    "read_parts",
    "read_raw",
    "refuse_lacking",
    "replace_inside",
    "route_fit_params",
    "rows_for_columns",
    "rows_of_folds",
    "sample_weight_param",
    "unfitted_last_step",
    "unfrozen",
    "used_groups",
    "warn_of_names",
    "warn_of_seen_rows",
    "warn_of_unlike",
    "with_last_step",
]
