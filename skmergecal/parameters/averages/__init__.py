"""Task vectors and Fisher-weighted averages: alternatives to the plain average of parameters."""

from skmergecal.parameters.averages._fisher import diagonal_fisher, fisher_average
from skmergecal.parameters.averages._task_vectors import drop, elect, merge_task_vectors, trim

__all__ = ["diagonal_fisher", "drop", "elect", "fisher_average", "merge_task_vectors", "trim"]
