"""Log loss and calibration of merged classifiers on a folder of tabular data sets.

    python tests/benchmarks/study_quality.py FOLDER [--seeds 0 1 2] [--sets NAME ...] [--out FILE]
    python tests/benchmarks/study_quality.py FOLDER --rows 50 100 200 400 [--draws 2]
    python tests/benchmarks/study_quality.py FOLDER --portfolio [--max-rows 6000]
    python tests/benchmarks/study_quality.py FOLDER --decimals 3 [--rows 200]

Each set is a gzipped CSV whose last column, ``target``, is the label. Eight members (with
``--portfolio`` twenty-two, among them boosters of three libraries) are fitted on 60 % of at most
16,000 rows, merged on 20 % and scored on 20 %. With ``--rows`` they are merged on so many rows
drawn from that 20 %; a set that has fewer gives all. With ``--decimals`` their probabilities are
rounded before. Each member is read once, and all methods get the same opinions. The tables are
printed as docs/quality.rst has them.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy counts the processors

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.merge_methods import (
    BEST,
    DEFAULT,
    GREEDY,
    LOGITS,
    VOTE,
    VOTE_SCALED,
    Method,
    compared,
    installed_methods,
)
from tests.benchmarks.rst import as_rst
from tests.benchmarks.tabular import (
    MAX_ROWS,
    KnownResults,
    Problem,
    boosters,
    drawn,
    fit_all,
    load,
    members,
    portfolio,
    sets_in,
    split,
    study_parser,
)

Scores = dict[str, dict[str, float]]
#: By set, split and number of rows (0: all) and draw.
Key = tuple[str, int, int, int]


def sized(options: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """Numbers of held-out rows, 0 for all, and of the draw."""
    if not options.rows:
        yield 0, 0
    for n in options.rows or []:
        for draw in range(options.draws):
            yield n, draw


def as_text(key: Key, options: argparse.Namespace) -> str:
    """The key of a result in the file: whatever changes it is a part."""
    name, seed, n, draw = key
    size = f" rows {n} draw {draw}{' at random' * (not options.stratify)}" if n else ""
    cap = f" max {options.max_rows}" if options.max_rows != MAX_ROWS else ""
    places = f" {options.decimals} decimals" if options.decimals else ""
    return f"{'portfolio ' * options.portfolio}{name} {seed}{cap}{size}{places}"


def missing_results(
    path: Path, seed: int, sizes: list[tuple[int, int]], options: argparse.Namespace
) -> Iterator[tuple[Key, Scores]]:
    """Fit the members of a set once, and compare the methods at each number of rows."""
    name = path.name.removesuffix(".csv.gz")
    X_train, y_train, *rest = split(*load(path, seed, options.max_rows), seed)
    classifiers = (portfolio if options.portfolio else members)(seed)
    problem = Problem.of(fit_all(classifiers, X_train, y_train), rest)
    if options.decimals:
        problem = problem.rounded(options.decimals)
    for n, draw in sizes:
        # Draws differ between splits, and are the same for all methods.
        rows = drawn(
            problem.y, n or len(problem.y), 1000 * seed + draw, stratified=options.stratify
        )
        yield (name, seed, n, draw), compared(problem.only(rows), options.methods)


def run(options: argparse.Namespace) -> dict[Key, pd.DataFrame]:
    """All results, those of the file first; new ones are added to it as they come."""
    known, paths = KnownResults(options.out), sets_in(options.folder)
    tables = {}
    for seed in options.seeds:
        for name in sorted(options.sets or paths):
            keys = [(name, seed, n, draw) for n, draw in sized(options)]
            new = [
                key[2:]
                for key in keys
                if not known.get(as_text(key, options), {}).keys() >= options.methods.keys()
            ]
            for key, result in missing_results(paths[name], seed, new, options) if new else ():
                known[as_text(key, options)] = result
                known.write()
            for key in keys:
                tables[key] = pd.DataFrame(known[as_text(key, options)]).T.loc[[*options.methods]]
                losses = "  ".join(f"{v:.4f}" for v in tables[key]["log_loss"])
                print(f"{as_text(key, options):18s}  {losses}", flush=True)
    return tables


#: Methods that a table compares with.
COMPARED_WITH = (LOGITS, GREEDY, VOTE_SCALED, VOTE, BEST)
SHOWN = {
    "log_loss": "log loss",
    "standard error": "standard error",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "auc": "AUC",
    "ece": "ECE",
    "classwise_ece": "class-wise ECE",
    "smooth_ece": "smooth ECE",
}

#: Columns of the table of sets.
SHORT = {
    DEFAULT: "default",
    LOGITS: "logits",
    GREEDY: "greedy",
    "greedy selection, matrix scaling": "matrix scaling",
    "stacking of logits": "stacking, logits",
    "stacking of probabilities": "stacking, probabilities",
    VOTE: "vote",
    BEST: "best member",
}


def losses_of(tables: dict[Key, pd.DataFrame]) -> pd.DataFrame:
    """Log losses, one line per result, one column per method."""
    losses = pd.DataFrame({key: table["log_loss"] for key, table in tables.items()}).T
    losses.index = pd.MultiIndex.from_tuples(tables, names=["set", "split", "rows", "draw"])
    return losses[list(next(iter(tables.values())).index)]


def summarise(tables: dict[Key, pd.DataFrame]) -> None:
    """Means over sets and splits, standard errors over splits, and what is lower how often."""
    losses = losses_of(tables)
    summary = pd.concat(tables.values()).groupby(level=0, sort=False).mean()
    by_split = losses.groupby("split").mean()
    if len(by_split) > 1:
        summary.insert(1, "standard error", by_split.std() / len(by_split) ** 0.5)
    print("\nMeans over sets and splits; standard errors over splits.\n")
    print(as_rst(summary.rename(columns=SHOWN), "method"))
    greedy, best, vote = losses[GREEDY], losses[BEST], losses[VOTE_SCALED]
    against = pd.DataFrame(
        {
            "to greedy": losses.mean() / greedy.mean() - 1,
            "below greedy": losses.lt(greedy, axis=0).mean(),
            "above greedy": losses.gt(greedy + 1e-4, axis=0).mean(),
            "above best": losses.gt(1.01 * best, axis=0).mean(),
            "below scaled vote": losses.lt(vote, axis=0).mean(),
        }
    )
    print(
        "\nRatio of the mean loss to greedy selection's, minus 1, and shares of (set, split) pairs "
        "with\nlower loss; above greedy: by more than 1e-4; above best: by more than 1 %.\n"
    )
    print(as_rst(against.map(lambda v: f"{100 * v + 0.0:.1f} %"), "method"))
    by_set = losses.groupby("set").mean()
    columns = [name for name in SHORT if name in losses]
    print("\nLog loss of each set, mean over splits.\n")
    print(as_rst(by_set[columns].rename(columns=SHORT), "set"))


def summarise_few_rows(tables: dict[Key, pd.DataFrame]) -> None:
    """Mean losses by number of held-out rows, and their ratios to two plain methods."""
    losses = losses_of(tables)
    sizes = losses.groupby("rows")
    by_set = {n: part.groupby("set").mean() for n, part in sizes}
    means = pd.DataFrame({n: part.mean() for n, part in by_set.items()})
    each = pd.Series({n: part[[VOTE, LOGITS]].min(axis=1).mean() for n, part in by_set.items()})
    worst = {n: part.div(part[VOTE], axis=0) for n, part in by_set.items()}
    draws = {n: part.div(part[VOTE], axis=0).max() for n, part in sizes}
    named = {
        n: [f"{ratio[m].max():.2f} {ratio[m].idxmax()}" for m in ratio]
        for n, ratio in worst.items()
    }
    print(f"\nMean log loss on {len(by_set[means.columns[0]])} sets by number of held-out rows.\n")
    print(as_rst(means, "method"))
    print("\nIts ratio to the vote's or the logit pool's, whichever is lower in the mean.\n")
    print(as_rst(means / means.loc[[VOTE, LOGITS]].min(), "method", 3, ratios=True))
    print("\nIts ratio to the mean of whichever of the two is lower on each set.\n")
    print(as_rst(means / each, "method", 3, ratios=True))
    print("\nThe largest ratio of a set's mean loss to the vote's, and the set.\n")
    print(as_rst(pd.DataFrame(named, index=losses.columns), "method"))
    print("\nThe largest ratio of a single draw's loss to the vote's.\n")
    print(as_rst(pd.DataFrame(draws), "method", 2, ratios=True))
    print(
        "\nWhat gives the true class no chance, as stacking does where a class has no held-out "
        "row,\ncounts as a probability of 1e-15."
    )


def parsed() -> argparse.Namespace:
    parser = study_parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", help="numbers of held-out rows")
    parser.add_argument("--draws", type=int, default=2, help="for each number of rows")
    parser.add_argument(
        "--at-random",
        dest="stratify",
        action="store_false",
        help="draw the rows without regard to their classes, some of which then may have none",
    )
    parser.add_argument("--portfolio", action="store_true", help="22 members")
    parser.add_argument("--max-rows", type=int, default=MAX_ROWS)
    parser.add_argument("--decimals", type=int, help="of the members' probabilities")
    parser.add_argument("--without", nargs="*", default=[], help="beginnings of methods")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.portfolio:
        boosters(0)  # says what is not installed before anything is fitted
    methods: dict[str, Method] = installed_methods()
    left_out = tuple(options.without)
    options.methods = {
        k: m for k, m in methods.items() if k in COMPARED_WITH or not k.startswith(left_out)
    }
    warnings.simplefilter("ignore")  # iteration limits of members
    tables = run(options)
    (summarise_few_rows if options.rows else summarise)(tables)


if __name__ == "__main__":
    main()
