"""Further training: of members before they are merged, of the merged model, or of a student."""

from skmergecal.tuning._classifier import FineTunedClassifier
from skmergecal.tuning._classifier import tuned_member as tuned_member
from skmergecal.tuning._distillation_report import DistillationReport
from skmergecal.tuning._distilled_classifier import DistilledClassifier
from skmergecal.tuning._distilled_classifier import student_member as student_member

__all__ = ["DistillationReport", "DistilledClassifier", "FineTunedClassifier"]
