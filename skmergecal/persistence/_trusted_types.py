"""TRUSTED_TYPES: our own types that a saved model consists of."""

from __future__ import annotations

__all__ = ["TRUSTED_TYPES"]

#: Names of the estimators and records of this package that a file may contain, for ``trusted`` of
#: skops and of MLflow. Reading one sets its attributes: nothing that the file names is imported,
#: opened or called.
TRUSTED_TYPES = (
    "skmergecal._saved_state.Same",
    "skmergecal._temperature._limits.Limits",
    "skmergecal.boosters._early_stopped.EarlyStopped",
    "skmergecal.calibration._calibrator.TemperatureCalibrator",
    "skmergecal.calibration._class_shift.ClassShift",
    "skmergecal.calibration._statistics.TemperatureStatistics",
    "skmergecal.candidates._weights.WeightDistribution",
    "skmergecal.members._fold_average.FoldAverage",
    "skmergecal.members._labels.LabelledEstimator",
    "skmergecal.members._member.Member",
    "skmergecal.members._prediction_column.PredictionColumn",
    "skmergecal.merging._classifier.MergedClassifier",
    "skmergecal.merging._fitted_rows.FittedRows",
    "skmergecal.merging._loss_estimate.LossEstimate",
    "skmergecal.merging._merge_report.MergeReport",
    "skmergecal.merging._settings.Settings",
    "skmergecal.merging.fitted._linear_pool.LinearPoolMerge",
    "skmergecal.merging.fitted._log_pool.LogPoolMerge",
    "skmergecal.merging.fitted._one_model_merge.OneModelMerge",
    "skmergecal.merging.fitted._stacked_pools.StackedPoolsMerge",
    "skmergecal.pooling._classwise_fit.ClasswiseFit",
    "skmergecal.pooling._classwise_fit.CrossClassTerms",
    "skmergecal.pooling._combined.CombinedFit",
    "skmergecal.pooling._combined.ScaledLinearPool",
    "skmergecal.tuning._classifier.FineTunedClassifier",
    "skmergecal.tuning._distillation_report.DistillationReport",
    "skmergecal.tuning._distilled_classifier.DistilledClassifier",
)
