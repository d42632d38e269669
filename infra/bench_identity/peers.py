"""Splink as its own documentation sets it up, each run in a process of its own, on one thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.benching import DATA, interleaved

HISTORICAL = DATA / "splink_demo" / "historical_figures_with_errors_50k.parquet"
MEMORY = "4GB"
THRESHOLDS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999)
"""Match probabilities at which clusters are tried; the best is reported."""
Ints = npt.NDArray[np.int64]


def splink_historical(runs: int = 1) -> dict[str, Any]:
    """Splink on the historical figures as in its public example, without labels.

    CPU seconds and peak megabytes run by run, and the best of all thresholds: `pair_f1` of the scored pairs against all
    true pairs, `cluster_f1` and `b_cubed` of the clusters.
    """
    with TemporaryDirectory() as folder:
        found = interleaved({"splink": partial(historical, str(HISTORICAL), folder)}, runs)["splink"]
        return {"cpu": found.cpu, "peak_mb": found.peak_mb, **judged(HISTORICAL, "cluster", Path(folder))}


def historical(source: str, folder: str) -> int:
    """Link the historical figures; pairs and clusters go into the folder; the number of scored pairs."""
    import splink.comparison_library as cl
    from splink import ColumnExpression, SettingsCreator, block_on

    names = ("unique_id", "first_name", "surname", "dob", "postcode_fake", "birth_place", "occupation")
    columns = ", ".join(names)
    postcode = ColumnExpression("postcode_fake")
    settings = SettingsCreator(
        link_type="dedupe_only",
        blocking_rules_to_generate_predictions=[
            block_on("substr(first_name,1,3)", "substr(surname,1,4)"),
            block_on("surname", "dob"),
            block_on("first_name", "dob"),
            block_on("postcode_fake", "first_name"),
            block_on("postcode_fake", "surname"),
            block_on("dob", "birth_place"),
            block_on("substr(postcode_fake,1,3)", "dob"),
            block_on("substr(postcode_fake,1,3)", "first_name"),
            block_on("substr(postcode_fake,1,3)", "surname"),
            block_on("substr(first_name,1,2)", "substr(surname,1,2)", "substr(dob,1,4)"),
        ],
        comparisons=[
            cl.ForenameSurnameComparison("first_name", "surname", forename_surname_concat_col_name="both_names"),
            cl.DateOfBirthComparison("dob", input_is_string=True),
            cl.PostcodeComparison(postcode),
            cl.ExactMatch("birth_place").configure(term_frequency_adjustments=True),
            cl.ExactMatch("occupation").configure(term_frequency_adjustments=True),
        ],
    )
    linker = _linker(f"SELECT {columns}, first_name || ' ' || surname AS both_names FROM '{source}'", settings)
    linker.training.estimate_probability_two_random_records_match(
        [
            "l.first_name = r.first_name and l.surname = r.surname and l.dob = r.dob",
            "substr(l.first_name,1,2) = substr(r.first_name,1,2) and l.surname = r.surname"
            " and substr(l.postcode_fake,1,2) = substr(r.postcode_fake,1,2)",
            "l.dob = r.dob and l.postcode_fake = r.postcode_fake",
        ],
        recall=0.6,
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=5e6, num_chunks=10, seed=1)
    for rule in (block_on("first_name", "surname"), block_on("dob")):
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    return _finish(linker, 0.95, folder)


def register(folder: str) -> int:
    """Link the generated register, given the candidate pairs that we found ourselves, so that it spends nothing on blocking."""
    import splink.comparison_library as cl
    from splink import SettingsCreator, block_on

    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[
            cl.NameComparison("given_name").configure(term_frequency_adjustments=True),
            cl.NameComparison("surname").configure(term_frequency_adjustments=True),
            cl.DateOfBirthComparison("dob", input_is_string=True),
            cl.EmailComparison("email"),
            cl.LevenshteinAtThresholds("phone", [1, 2]),
            cl.LevenshteinAtThresholds("address", [2, 4]).configure(term_frequency_adjustments=True),
            cl.LevenshteinAtThresholds("postcode", [1, 2]),
            cl.ExactMatch("town").configure(term_frequency_adjustments=True),
        ],
        blocking_rules_to_generate_predictions=[],
        retain_matching_columns=False,
    )
    linker = _linker(f"SELECT * EXCLUDE (person) FROM '{folder}/register.parquet'", settings)
    con = linker._db_api._con
    pairs = f"SELECT '0' AS match_key, left_id AS join_key_l, right_id AS join_key_r FROM '{folder}/pairs.parquet'"
    con.execute(f"CREATE TABLE candidates AS {pairs}")
    linker.table_management.register_blocked_pairs_for_predict(linker._db_api.register("candidates"))
    linker.training.estimate_probability_two_random_records_match(
        [block_on("given_name", "surname", "dob"), block_on("email")], recall=0.7
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=2e6, num_chunks=10, seed=1)
    for rule in (block_on("given_name", "surname"), block_on("dob", "postcode")):
        linker.training.estimate_parameters_using_expectation_maximisation(rule)
    return _finish(linker, 0.99, folder)


def judged(source: Path, truth: str, folder: Path) -> dict[str, float]:
    """The best over all thresholds of what Splink wrote into a folder."""
    import duckdb

    from whence.identity.clusters import components
    from whence.identity.records.table import Pairs

    with duckdb.connect() as con:
        con.execute(f"CREATE TABLE records AS SELECT unique_id, {truth} AS person FROM '{source}' ORDER BY unique_id")
        con.execute("CREATE TABLE places AS SELECT unique_id, row_number() OVER () - 1 AS at FROM records")
        person = con.execute("SELECT dense_rank() OVER (ORDER BY person) - 1 AS p FROM records ORDER BY unique_id").fetchnumpy()
        found = con.execute(
            "SELECT l.at AS l, r.at AS r, match_probability AS p FROM "
            f"'{folder}/splink_pairs.parquet' JOIN places l ON l.unique_id = unique_id_l JOIN places r ON r.unique_id = unique_id_r"
        ).fetchnumpy()
    people: Ints = person["p"].astype(np.int64)
    same = people[found["l"]] == people[found["r"]]
    clusters = []
    for threshold in THRESHOLDS:
        kept = found["p"] >= threshold
        pairs = Pairs(found["l"][kept].astype(np.int32), found["r"][kept].astype(np.int32))
        clusters.append(np.asarray(components(len(people), pairs.left, pairs.right), dtype=np.int64))
    return {
        "pair_f1": best_pair_f1(found["p"], same, pairs_within(people)),
        "cluster_f1": max(cluster_f1(each, people)[0] for each in clusters),
        "b_cubed": max(b_cubed(each, people) for each in clusters),
    }


def best_pair_f1(scores: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], true_pairs: int) -> float:
    """F1 over all true pairs, at the threshold where it is best; pairs with one score stay together.

    >>> best_pair_f1(np.array([0.9, 0.8, 0.1]), np.array([True, True, False]), 4)
    0.6666666666666666
    """
    order = np.argsort(-scores, kind="stable")
    last = np.r_[scores[order][1:] != scores[order][:-1], True]
    hits, taken = np.cumsum(same[order])[last], (np.arange(len(order)) + 1)[last]
    return float((2 * hits / (taken + true_pairs)).max())


def pairs_within(groups: npt.NDArray[Any]) -> int:
    """Pairs of the same group.

    >>> pairs_within(np.array([0, 0, 0, 1]))
    3
    """
    sizes = np.unique(groups, return_counts=True)[1]
    return int((sizes * (sizes - 1) // 2).sum())


def cluster_f1(found: Ints, truth: Ints) -> tuple[float, float, float]:
    """F1, precision and recall of the pairs that clusters put together.

    >>> cluster_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]))[1:]
    (0.5, 1.0)
    """
    both = pairs_within(together(found, truth))
    ours, true = pairs_within(found), pairs_within(truth)
    return 2 * both / max(ours + true, 1), both / max(ours, 1), both / max(true, 1)


def b_cubed(found: Ints, truth: Ints) -> float:
    """F1 of the mean share of each record's cluster that is of its person, and of its person that is in its cluster.

    >>> b_cubed(np.array([0, 0, 1]), np.array([0, 0, 0])), b_cubed(np.array([0, 1, 1]), np.array([3, 5, 5]))
    (0.7142857142857143, 1.0)
    """
    shared, mine, true = (_sizes(each) for each in (together(found, truth), found, truth))
    precision, recall = float((shared / mine).mean()), float((shared / true).mean())
    return 2 * precision * recall / (precision + recall)


def _sizes(groups: Ints) -> Ints:
    """For each record how many are in its group."""
    _, at, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(counts[at], dtype=np.int64)


def together(one: Ints, other: Ints) -> Ints:
    """A number for each pair of groups that a record is in."""
    return one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other


def _linker(query: str, settings: Any) -> Any:
    import logging

    import duckdb
    from splink import DuckDBAPI, Linker

    con = duckdb.connect(config={"threads": 1, "memory_limit": MEMORY})
    con.execute(f"CREATE TABLE input AS {query}")
    api = DuckDBAPI(con)
    return Linker(api.register("input"), settings, log_level=logging.ERROR)


def _finish(linker: Any, threshold: float, folder: str) -> int:
    """Score, cluster and write, as a user would."""
    scored = linker.inference.predict(threshold_match_probability=0.01)
    clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(scored, threshold)
    con = linker._db_api._con
    pairs = f"SELECT unique_id_l, unique_id_r, match_probability FROM {scored.physical_name}"
    con.execute(f"COPY ({pairs}) TO '{folder}/splink_pairs.parquet'")
    con.execute(f"COPY (SELECT cluster_id, unique_id FROM {clusters.physical_name}) TO '{folder}/splink_clusters.parquet'")
    return int(con.execute(f"SELECT count(*) FROM {scored.physical_name}").fetchall()[0][0])
