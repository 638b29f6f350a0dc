"""Cells, means and value counts of tables that others published, beside DuckDB's and pandas' own GROUP BY."""
import duckdb
import numpy as np
import pandas as pd
import pytest
from conftest import shared_file

from studperf import Cohort, Schema
from studperf.cohort.means import group_means

TABLES = {  # factors, scores, covariates, cluster
    "CASchools.csv": (["county", "grades"], ["read", "math"], ["income"], None),
    "apistrat.csv": (["stype", "sch.wide"], ["api00", "api99"], ["meals"], "dnum"),
    "student-por.csv": (["school", "sex", "Mjob"], ["G1", "G2", "G3"], ["absences"], None),
    "Exam.csv.gz": (["sex", "vr", "type"], ["normexam"], ["standLRT"], "school"),
    "egsingle.csv.gz": (["female", "black", "hispanic"], ["math"], ["lowinc"], "schoolid"),
    "pisa2009.csv.gz": (["grade", "male", "raceeth"], ["readingScore"], ["minutesPerWeekEnglish"], None),
    "xAPI.csv": (["gender", "StageID", "Class"], ["raisedhands", "Discussion"], [], None),
    "Student_performance_data.csv": (["Gender", "Ethnicity", "ParentalSupport"], ["GPA"], ["Absences"], None),
}


@pytest.fixture(scope="module", params=TABLES)
def wild(request):
    """Path, rows with texts as levels, and Schema of a table."""
    factors, scores, covariates, cluster = TABLES[request.param]
    path, keys = shared_file("wild", request.param), [*factors, *([cluster] if cluster else [])]
    rows = pd.read_csv(path, sep=";" if request.param == "student-por.csv" else ",", dtype=dict.fromkeys(keys, "string"))
    return path, rows[[*keys, *scores, *covariates]], Schema(factors, scores, covariates=covariates, cluster=cluster)


def quoted(names):
    return [f'"{name}"' for name in names]


def test_the_same_from_frame_file_and_chunks(wild):
    path, rows, schema = wild
    cohort = Cohort.summarize(rows, schema)
    assert Cohort.summarize(path, schema) == cohort
    assert Cohort.summarize((rows[start:start + 997] for start in range(0, len(rows), 997)), schema).n == cohort.n == len(rows)


def test_cells_are_the_groups_of_the_keys_and_of_what_is_missing(wild):
    _, rows, schema = wild
    keys = [*quoted([*schema.factors, *([schema.cluster] if schema.cluster else [])]), *(f"{name} IS NULL" for name in quoted(schema.numeric))]
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        sizes = connection.sql(f"SELECT count(*) AS n FROM rows GROUP BY {', '.join(keys)} ORDER BY n").fetchall()
    assert sorted(Cohort.summarize(rows, schema).cells["n"]) == [n for n, in sizes]


def test_means_and_deviations_are_those_of_duckdb(wild):
    _, rows, schema = wild
    cohort, factors = Cohort.summarize(rows, schema), list(schema.factors)
    for name in schema.numeric:
        there = " AND ".join(f"{factor} IS NOT NULL" for factor in quoted([*factors, name]))
        with duckdb.connect() as connection:
            connection.register("rows", rows)
            expected = connection.sql(f'SELECT {", ".join(quoted(factors))}, count(*) AS n, avg("{name}") AS mean, stddev_samp("{name}") AS sd '
                                      f"FROM rows WHERE {there} GROUP BY ALL").df()
        found = group_means(cohort, name, factors).table()
        both = found.astype(dict.fromkeys(factors, str)).merge(expected.astype(dict.fromkeys(factors, str)), on=factors, suffixes=("", "_there"))
        assert len(both) == len(found) == len(expected)
        spread = float(np.nanstd(rows[name].astype(float)))
        assert (both["n"] == both["n_there"]).all()
        np.testing.assert_allclose(both["mean"], both["mean_there"], atol=1e-12 * spread, rtol=1e-12)
        np.testing.assert_allclose(both["sd"], both["sd_there"].astype(float), atol=1e-12 * spread, rtol=1e-12)


def test_value_counts_are_those_of_pandas(wild):
    _, rows, schema = wild
    cohort, factors = Cohort.summarize(rows, schema), list(schema.factors)
    for score in (score for score in schema.scores if cohort.scales[score].discrete):
        found = cohort.value_counts(score, factors)
        expected = rows.dropna(subset=[*factors, score]).groupby([*factors, score]).size()
        assert found.astype(dict.fromkeys(factors, str)).set_index([*factors, "value"])["count"].to_dict() == expected.to_dict()
