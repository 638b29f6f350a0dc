"""Whatever the table: loading and summarising it keep their promises."""
import csv
import io
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studperf import STUDENTS, Cohort, DataError, DataWarning, Schema, load_students
from studperf.cohort.small_groups import without_small_groups
from studperf.rows.values import MISSING_TEXTS

pytestmark = pytest.mark.usefixtures("files_by_duckdb")

NAMES = {"gender": ["gender", "sex", "Gender"],
         "ethnicity": ["ethnicity", "race/ethnicity", "race_ethnicity", "race.ethnicity", "race", "EthnicGroup"],
         "parental_education": ["parental_education", "parental level of education", "parental_level_of_education",
                                "parental.level.of.education", "parentEducation", "ParentEduc"],
         "lunch": ["lunch", "LunchType"],
         "test_prep": ["test_prep", "test preparation course", "test_preparation_course", "prep", "testPrepCourse", "TestPrep"],
         "math": ["math", "math score", "math_score", "math.score", "MathScore", "MathScr"],
         "reading": ["reading", "reading score", "reading_score", "ReadingScore", "ReadingScr"],
         "writing": ["writing", "writing score", "writing.score", "WritingScore", "WritingScr"]}
ROW = st.tuples(*[st.sampled_from(levels) for levels in STUDENTS.factors.values()], *[st.integers(0, 100)] * 3)
ROWS = st.lists(ROW, min_size=1, max_size=30).map(lambda rows: pd.DataFrame(rows, columns=list(STUDENTS.columns)))


@st.composite
def written(draw):
    "A table, and the bytes of one of the many files in which it may come."
    table = draw(ROWS)
    order = draw(st.permutations(list(STUDENTS.columns)))
    heading = [draw(st.sampled_from(NAMES[name])) for name in order]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=draw(st.sampled_from(",;\t|")), lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
                        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])))
    writer.writerow(heading)
    writer.writerows(table[order].itertuples(index=False))
    content = text.getvalue()
    if draw(st.booleans()):
        content = content.rstrip("\r\n")
    return table, content.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"])))


@given(written())
def test_every_way_of_writing_a_table_loads_to_the_same(tmp_path, case):
    table, content = case
    (tmp_path / "a.csv").write_bytes(content)
    loaded = load_students(tmp_path / "a.csv")
    assert list(loaded.columns) == list(STUDENTS.columns)
    pd.testing.assert_frame_equal(loaded.astype({name: "str" for name in STUDENTS.factors}),
                                  table.astype({name: "str" for name in STUDENTS.factors}))


@given(ROWS, st.data())
def test_a_fault_is_told_with_its_row_and_column(tmp_path, table, data):
    row = data.draw(st.integers(0, len(table) - 1))
    column = data.draw(st.sampled_from(STUDENTS.columns))
    wrong = data.draw(st.sampled_from(["101", "-1", "x", "1e999", "7,500"] if column in STUDENTS.scores else ["0", "Group Z", "femal", "??"]))
    faulty = table.astype(object)
    faulty.loc[row, column] = wrong
    faulty.to_csv(tmp_path / "a.csv", index=False)
    for read in (load_students, Cohort.summarize):
        with pytest.raises(DataError) as caught:
            read(tmp_path / "a.csv")
        assert caught.value.problems == [problem for problem in caught.value.problems
                                         if f"row {row + 2}, column '{column}': found '{wrong}'" in problem]
        assert len(caught.value.problems) == 1


@given(ROWS, st.data())
def test_missing_values_stay_missing_and_are_counted(tmp_path, table, data):
    holes = data.draw(st.lists(st.tuples(st.integers(0, len(table) - 1), st.sampled_from(STUDENTS.columns)), min_size=1, unique=True))
    with_holes = table.astype(object)
    for row, column in holes:
        with_holes.loc[row, column] = data.draw(st.sampled_from(MISSING_TEXTS))
    with_holes.to_csv(tmp_path / "a.csv", index=False)
    with pytest.warns(DataWarning, match="missing"):
        loaded = load_students(tmp_path / "a.csv")
    assert {(row, column) for row, column in zip(*np.where(loaded.isna()), strict=True)} == {
        (row, STUDENTS.columns.index(column)) for row, column in holes}


@given(st.binary(max_size=400))
def test_rubbish_is_refused_with_an_error_of_ours(tmp_path, content):
    for name in ("a.csv", "a.xlsx", "a.parquet", "a.csv.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError):
            load_students(tmp_path / name)


# ---- the Cohort ----

PUPILS = Schema(factors={"class": None, "sex": ["f", "m"]}, scores=["essay", "exam"], covariates=["age"])
EXACT = st.one_of(st.none(), st.integers(-10**9, 10**9), st.decimals(-1000, 1000, places=2, allow_nan=False).map(float))
PUPIL = st.tuples(st.sampled_from(["7a", "7b", None]), st.sampled_from(["f", "m", None]), EXACT, EXACT, EXACT)
SCHOOL = st.lists(PUPIL, min_size=1, max_size=25).map(
    lambda rows: pd.DataFrame(rows, columns=["class", "sex", "essay", "exam", "age"]).astype({"essay": float, "exam": float, "age": float}))


def summarize(frame):
    return Cohort.summarize(frame, PUPILS)


@settings(max_examples=20)  # of a second each
@given(SCHOOL, SCHOOL, SCHOOL)
def test_merging_is_exact_commutative_and_associative(a, b, c):
    pooled = summarize(pd.concat([a, b, c], ignore_index=True))
    x, y, z = map(summarize, (a, b, c))
    assert (x + y) + z == pooled
    assert x + (y + z) == pooled
    assert z + x + y == pooled


@given(SCHOOL)
def test_the_order_of_the_rows_does_not_matter(frame):
    assert summarize(frame) == summarize(frame.sample(frac=1, random_state=1))


@given(SCHOOL)
def test_a_saved_cohort_is_the_same_cohort(tmp_path, frame):
    cohort = summarize(frame)
    cohort.save(tmp_path / "cohort.parquet")
    assert Cohort.load(tmp_path / "cohort.parquet") == cohort


@settings(max_examples=20)  # of a second each
@given(SCHOOL.map(lambda frame: frame.dropna(how="all")).filter(len))
def test_files_and_frames_give_the_same_cohort(tmp_path, frame):
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    expected = summarize(frame)
    assert Cohort.summarize(tmp_path / "a.csv", PUPILS) == expected
    assert Cohort.summarize(tmp_path / "a.parquet", PUPILS) == expected


@given(SCHOOL)
def test_moments_are_those_of_the_complete_rows(frame):
    moments = summarize(frame).moments(["essay", "exam"], by=["class"])
    complete = frame.dropna(subset=["essay", "exam", "class"])
    groups = complete.groupby("class")
    assert moments.keys["class"].tolist() == list(groups.groups)
    assert moments.n.tolist() == groups.size().tolist()
    for i, (_, group) in enumerate(groups):
        values = group[["essay", "exam"]].to_numpy()
        np.testing.assert_allclose(moments.mean[i], values.mean(axis=0), rtol=1e-12, atol=1e-9)
        centred = values - values.mean(axis=0)
        np.testing.assert_allclose(moments.ss[i], centred.T @ centred, rtol=1e-9, atol=1e-6)


@given(SCHOOL, st.integers(1, 6))
def test_suppression_hides_small_cells_and_counts_them(frame, min_n):
    cohort = summarize(frame)
    shown = cohort.suppress(min_n=min_n)
    reported = without_small_groups(cohort, min_n).n  # beside whom nobody else may follow
    assert shown.n + shown.suppressed in (reported, shown.n)
    alone = cohort.suppress(min_n=min_n, alone=True)
    assert alone.n + alone.suppressed == len(frame)
    assert (shown.cells["n"] >= min_n).all()
    assert set(shown.counts["cell"]) <= set(range(len(shown.cells)))


def test_continuous_scores_merge_to_rounding():
    random = np.random.default_rng(3)
    schema = Schema(factors=["class"], scores=["essay"])
    parts = [pd.DataFrame({"class": random.choice(["a", "b"], 500), "essay": random.normal(1e6 * k, 1, 500)}) for k in (1, 3)]
    merged = Cohort.summarize(parts[0], schema) + Cohort.summarize(parts[1], schema)
    rows = pd.concat(parts).groupby("class")["essay"]
    moments = merged.moments(["essay"], by=["class"])
    np.testing.assert_allclose(moments.mean[:, 0], rows.mean(), rtol=1e-13)
    np.testing.assert_allclose(moments.var[:, 0], rows.var(), rtol=1e-10)
    with pytest.raises(ValueError, match="continuous"):
        merged.value_counts("essay")


def test_input_is_never_changed():
    frame = pd.DataFrame({"class": ["a", "b"], "sex": ["f", "m"], "essay": [1, 2], "exam": [3, None], "age": [5, 6]})
    before = frame.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        load_students(frame, schema=PUPILS)
    summarize(frame)
    pd.testing.assert_frame_equal(frame, before)
