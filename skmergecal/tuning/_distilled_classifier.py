"""DistilledClassifier: one small model that predicts what an ensemble predicts."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skmergecal._compat import (
    HasMethods,
    Interval,
    StrOptions,
    _fit_context,
    _safe_indexing,
    allow_what_all_allow,
)
from skmergecal._estimator import HeldOutScores, LogProbaClassifier
from skmergecal._typing import Array, Estimator, NamedEstimators
from skmergecal._validation import check_sample_weight, count_rows
from skmergecal._warnings import warns_once
from skmergecal.members import FitRows, Member, check_estimator, route_fit_params, unfrozen
from skmergecal.parameters import register_wrapper
from skmergecal.tuning._distillation import Distillation, DistilledModel
from skmergecal.tuning._distillation_report import DistillationReport
from skmergecal.tuning._students import check_student

__all__ = ["DistilledClassifier"]


class DistilledClassifier(LogProbaClassifier):
    """A student that learns the probabilities of a teacher: one small model for an ensemble.

    Each row is learned once per class, weighted by the teacher's probability for it: any
    classifier whose ``fit`` takes ``sample_weight`` can be the student. Nets learn from the
    probabilities themselves.

    Parameters
    ----------
    student : classifier
        Cloned and fitted: a tree, boosting, a forest, logistic regression, naive Bayes, also at
        the end of a Pipeline, whose other steps see each row once. Or a net (MLPClassifier,
        skorch), fitted to the labels first and then trained towards the teacher; only a net can
        be a ``FrozenEstimator``, which is trained on.
    teacher : classifier
        A ``FrozenEstimator`` is used as it is; it should not have seen the rows of ``fit``.
        Anything else is cloned and fitted on them, and the student learns its predictions of rows
        that it was not fitted on: from its own cross-fitting where it is a `MergedClassifier`
        with members that are not frozen, or another estimator of this package, else over ``cv``.
    label_share : float or "auto", default="auto"
        Share of the true labels in what is learned, from 0 (the teacher only) to 1 (labels only).
        "auto" compares 0, .5 and 1 by the student's log loss on held-out rows: .5, unless another
        one is better by a paired standard error. A teacher that is not frozen is fitted again
        without each fold, so that no row is held out from the student only.
    cv : int, splitter or iterable of (train, test), default=5
        Rows that are held out.
    synthetic_rows : float, default=3
        How many times as many synthetic rows as rows the student learns from, 10,000 at most: rows
        of ``fit`` with a fifth of their values from random other rows, which the teacher labels.
        They are made of DataFrames and dense arrays of numbers, unless a parameter of the
        student's ``fit`` has one entry per row. 0 leaves them out: where rows so combined make no
        sense, as pixels of images, or where predictions of the teacher take too long.
    random_state : int, RandomState instance or None, default=None
        For batches of nets. Other students have their own. The same rows give the same synthetic
        rows.
    n_jobs : int or None, default=None
        Number of folds that are fitted at a time.

    Attributes
    ----------
    student_ : classifier
        The fitted student. XGBoost takes only the labels 0..k-1: it was fitted to these codes.
    teacher_ : classifier
        The fitted teacher.
    classes_ : ndarray of shape (n_classes,)
        The labels that the teacher knows.
    label_share_ : float
        Share of the labels that the student learned with.
    report_ : DistillationReport
        Log losses on held-out rows, of the teacher, of the student with labels only, and of the
        student, with standard errors; and the time for a prediction. ``print(model.report_)``
        gives a table.
    n_features_in_ : int
        Number of features seen during ``fit``.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names.

    See Also
    --------
    skmergecal.FineTunedClassifier : Trains a net towards the members that it was merged from.
    skmergecal.MergedClassifier : A teacher; with ``method="parameters"`` it merges nets into one.

    Notes
    -----
    A row has copies of the fewest classes that hold .99 of its probability, and of its label. So
    ``min_samples_leaf`` of trees and forests counts copies. A student that would set rows apart
    (``early_stopping``, ``n_iter_no_change``, ``oob_score``) is fitted without that, with a
    warning. Probabilities of 0 that it gives rows of ``fit`` are softened, as those of members are.

    With "auto" the student is fitted ``3 * cv + 1`` times, the teacher ``cv + 1`` times, each time
    with its own cross-fitting. With a number both are fitted once; then no loss of the student is
    known, and ``report_`` has NaN there.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015,
    https://doi.org/10.48550/arXiv.1503.02531.

    Bucila, Caruana and Niculescu-Mizil, "Model compression", KDD 2006,
    https://doi.org/10.1145/1150402.1150464.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skmergecal import DistilledClassifier
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> forest = RandomForestClassifier(20, random_state=0)
    >>> tree = DecisionTreeClassifier(max_depth=4, random_state=0)
    >>> model = DistilledClassifier(tree, forest, cv=3).fit(X, y)
    >>> model.student_.get_depth(), model.report_.student_loss < model.report_.labels_loss
    (4, True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "student": [HasMethods(["fit"])],
        "teacher": [HasMethods(["fit"])],
        "label_share": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
        "cv": ["cv_object"],
        "synthetic_rows": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        student: Estimator,
        teacher: Estimator,
        *,
        label_share: float | str = "auto",
        cv: Any = 5,
        synthetic_rows: float = 3,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.label_share = label_share
        self.cv = cv
        self.synthetic_rows = synthetic_rows
        self.random_state = random_state
        self.n_jobs = n_jobs

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_unlabeled: Any = None,
        **params: Any,
    ) -> Self:
        """Fit the teacher, unless it is frozen, and the student.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features)
            Passed on as it is.
        y : array-like of shape (n_samples,), default=None
            Labels of any kind. A frozen teacher with ``label_share=0`` needs none.
        sample_weight : array-like of shape (n_samples,), default=None
            How often each row counts. Rows of weight 0 are left out.
        X_unlabeled : array-like of shape (n_rows, n_features), default=None
            Further rows, of which the student learns what the teacher gives them.
        **params : dict
            Parameters for the fits of teacher and student and for the splitter, by metadata
            routing; without routing, ``groups`` goes to the splitter. Those for a Pipeline as the
            student go to its last step.

        Returns
        -------
        DistilledClassifier
            This object, fitted.

        Raises
        ------
        ValueError
            If the student can learn no probabilities, labels are unknown to a frozen teacher, or
            labels are missing where they are needed.
        """
        self._fit(X, y, sample_weight, {**params, "X_unlabeled": X_unlabeled}, held_out=False)
        return self

    @warns_once
    def _fit(
        self, X: Any, y: Any, sample_weight: Any, params: dict[str, Any], *, held_out: bool
    ) -> HeldOutScores | None:
        self._forget()
        check_estimator("teacher", self.teacher)
        check_student(self.student)
        params = dict(params)
        unlabelled = params.pop("X_unlabeled", None)
        self._check_unlabelled(unlabelled)
        if y is None and self._needs_no_labels():
            found = self._run_without_labels(X, sample_weight, unlabelled, params)
        else:
            rows = FitRows.check(X, y, sample_weight)
            routed = route_fit_params(self, self._named(), sample_weight, params)
            found = self._distillation(routed, unlabelled).distil(rows, held_out=held_out)
        self._set_fitted(found)
        self._check_features(X, reset=True)
        if found.held_out is None:
            return None
        return HeldOutScores(*found.held_out)

    def _needs_no_labels(self) -> bool:
        frozen = isinstance(self.teacher, FrozenEstimator)
        if frozen and not isinstance(self.label_share, str) and self.label_share == 0:
            return True
        msg = (
            "DistilledClassifier requires y to be passed, but the target y is None: it can do "
            "without only if the teacher is frozen and label_share=0; got "
            f"teacher={type(self.teacher).__name__} and label_share={self.label_share!r}"
        )
        raise ValueError(msg)

    def _check_unlabelled(self, X: Any) -> None:
        if X is None:
            return
        count_rows(X, "X_unlabeled")
        if self.label_share == 1:
            msg = "X_unlabeled teaches nothing with label_share=1: leave it out, or lower the share"
            raise ValueError(msg)

    def _run_without_labels(
        self, X: Any, sample_weight: Any, unlabelled: Any, params: dict[str, Any]
    ) -> DistilledModel:
        n_rows = count_rows(X)
        routed = route_fit_params(self, self._named(), sample_weight, params)
        distillation = self._distillation(routed, unlabelled)
        weight = check_sample_weight(sample_weight, n_rows)
        if weight is not None and (weight == 0).any():
            kept = weight.nonzero()[0]
            X, weight = _safe_indexing(X, kept), weight[kept]
        return distillation.run_without_labels(X, weight)

    def _distillation(self, routed: Any, unlabelled: Any) -> Distillation:
        by_name, split_params = routed
        # The weights are those of the rows that are learned, also of a Pipeline's last step.
        routed_to_student = by_name["student"].items()
        student = {k: v for k, v in routed_to_student if k.split("__")[-1] != "sample_weight"}
        return Distillation(
            student=self.student,
            teacher=self.teacher,
            label_share=self.label_share,
            cv=self.cv,
            params={"teacher": by_name["teacher"], "student": student},
            split_params=split_params,
            unlabelled=unlabelled,
            synthetic_rows=self.synthetic_rows,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            n_jobs=self.n_jobs,
        )

    def _set_fitted(self, found: DistilledModel) -> None:
        self._member: Member = found.student
        self.classes_ = found.classes
        self.__dict__.update(self._follows())
        self.teacher_ = found.teacher
        self.report_: DistillationReport = found.report
        self.label_share_ = found.report.label_share

    def _needs(self, state: dict[str, Any]) -> list[str]:
        return ["_member", "teacher_", "report_", "label_share_"]

    def _follows(self) -> dict[str, Any]:
        if not hasattr(self, "_member"):
            return {}
        return {"student_": unfrozen(self._member.estimator)}

    def _scores(self, X: Any) -> Array:
        check_is_fitted(self, "classes_")
        self._check_features(X, reset=False)
        return self._member.read_log_proba(X)

    def _scaled(self, scores: Array) -> Array:
        return scores

    def _named(self) -> NamedEstimators:
        return [("student", self.student), ("teacher", self.teacher)]

    def _diagram(self) -> tuple[list[tuple[str, Estimator, str]], str]:
        fitted = hasattr(self, "student_")
        student = self.student_ if fitted else self.student
        teacher = self.teacher_ if fitted else self.teacher
        share = self.label_share_ if fitted else self.label_share
        return [("student", student, ""), ("teacher", teacher, "")], f"label share {share}"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        allow_what_all_allow(tags, (estimator for _, estimator in self._named()))
        return tags


def student_member(distilled: DistilledClassifier) -> Member:
    """The member that a fitted classifier gives the log-probabilities of."""
    check_is_fitted(distilled, "classes_")
    return distilled._member


register_wrapper(DistilledClassifier, lambda distilled: distilled.student_)
