"""Every analysis takes a Cohort, or the students' rows themselves, of which the Schema is given, known or drafted."""
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest

import studperf
from studperf import STUDENTS, Cohort, DataWarning, Schema, load_students

STUDENTS_ROWS = load_students()
OWN = Schema({"form": None, "grade": ["5", "6", "7"]}, {"points": None, "essay": None}, ordered=["grade"], covariates=["hours"], cluster="school")
VERBS = {  # of a score, a factor and a further factor
    "missing_values": lambda verb, table, score, factor, **schema: verb(table, **schema),
    "describe": lambda verb, table, score, factor, **schema: verb(table, score, factor, **schema),
    "correlations": lambda verb, table, score, factor, **schema: verb(table, by=factor, **schema),
    "trend": lambda verb, table, score, factor, **schema: verb(table, score, factor, **schema),
    "equivalence": lambda verb, table, score, factor, **schema: verb(table, score, factor, margin=3, **schema),
    "regress": lambda verb, table, score, factor, **schema: verb(table, score, factor, **schema).coefficients,
    "interactions": lambda verb, table, score, factor, **schema: verb(table, score, **schema),
    "decompose": lambda verb, table, score, factor, **schema: verb(table, score, factor, **schema),
    **{name: lambda verb, table, score, factor, **schema: verb(table, score, factor, **schema)
       for name in ("compare", "pairs", "ranks", "spread", "gaps", "ceiling", "power")},
    "manova": lambda verb, table, score, factor, **schema: verb(table, [score], factor, **schema),
    "mixed": lambda verb, table, score, factor, **schema: verb(table, score, factor, **schema).coefficients,
}


def own_rows(n=240):
    random = np.random.default_rng(4)
    school, grade = random.integers(0, 12, n), random.integers(5, 8, n)
    points = np.rint(12 + random.normal(0, 3, n) + .8 * grade + random.normal(0, 1, 12)[school])
    return pd.DataFrame({"form": random.choice(["a", "b"], n), "grade": grade.astype(str), "school": [f"school {i}" for i in school],
                         "hours": random.integers(0, 9, n), "points": points, "essay": np.rint(points + random.normal(0, 2, n))})


def asked(name, table, score, factor, **schema):
    return VERBS[name](getattr(studperf, name), table, score, factor, **schema)


@pytest.mark.parametrize("name", VERBS)
def test_rows_give_what_their_cohort_gives(name):
    rows = own_rows()
    expected = asked(name, Cohort.summarize(rows, OWN), "points", "grade")
    pd.testing.assert_frame_equal(asked(name, rows, "points", "grade", schema=OWN), expected)


@pytest.mark.parametrize("name", sorted(set(VERBS) - {"mixed"}))
def test_the_exam_data_are_known_by_their_columns(name):
    expected = asked(name, Cohort.summarize(STUDENTS_ROWS), "math", "parental_education")
    pd.testing.assert_frame_equal(asked(name, STUDENTS_ROWS, "math", "parental_education"), expected)  # a warning would be an error


def test_a_drafted_schema_is_told():
    rows = own_rows().assign(name=[f"student {i}" for i in range(240)])
    with pytest.warns(DataWarning, match="read as scores 'points'; factors 'form', 'grade', 'school'.*left out .*'name'.*give schema=Schema") as caught:
        table = studperf.compare(rows, "points")
    assert len(caught) == 1 and caught[0].filename == __file__ and "\n" not in str(caught[0].message)
    assert table["factor"].tolist() == ["form", "grade", "school"]
    with pytest.warns(DataWarning, match="scores 'points'; factors 'form'; left out 'essay', 'name'; to decide yourself"):
        one = studperf.compare(rows, "points", "form")
    pd.testing.assert_series_equal(one.loc[0].drop("p_adjusted"), table.loc[0].drop("p_adjusted"))


def test_files_and_other_frames(tmp_path):
    polars, rows = pytest.importorskip("polars"), own_rows()
    rows.to_csv(tmp_path / "own.csv", index=False)
    expected = studperf.compare(rows, "points", "form", schema=OWN)
    for table in (tmp_path / "own.csv", str(tmp_path / "own.csv"), polars.from_pandas(rows)):
        with pytest.warns(DataWarning, match="no Schema was given"):
            pd.testing.assert_frame_equal(studperf.compare(table, "points", "form"), expected)
    Cohort.summarize(rows, OWN).save(tmp_path / "own.parquet")
    pd.testing.assert_frame_equal(studperf.compare(tmp_path / "own.parquet", "points", "form"), expected)
    pd.testing.assert_frame_equal(studperf.compare(iter([rows[:100], rows[100:]]), "points", "form", schema=OWN), expected)
    for lazy in (polars.from_pandas(rows).lazy(), iter([rows]), [rows], str(tmp_path / "*.csv")):
        with pytest.raises(ValueError, match=r"^give schema=Schema\(factors=\[...\], scores=\[...\]\): found .*, expected a Cohort"):
            studperf.compare(lazy, "points", "form")


def test_what_cannot_be_known_is_asked_for_in_one_line():
    rows = own_rows()
    unclear = rows.rename(columns={"points": "x", "essay": "y"})
    for call in (lambda: studperf.compare(unclear), lambda: studperf.missing_values(unclear), lambda: studperf.describe(unclear)):
        with pytest.raises(ValueError, match=r"^name the scores: 'x', 'y' may be some, but the table does not say so") as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="no column 'marks'; the table has 'form'"):
        studperf.compare(rows, "marks")
    with pytest.raises(ValueError, match="found NoneType, expected a Cohort"):
        studperf.compare(None)
    with pytest.raises(ValueError, match="leave out schema: a Cohort has one already"):
        studperf.compare(Cohort.summarize(rows, OWN), schema=Schema(["form"], ["points"]))
    assert len(studperf.compare(Cohort.summarize(STUDENTS_ROWS), schema=STUDENTS)) == 15


def test_statsmodels_is_only_imported_to_adjust_p_values():
    code = ("import sys, studperf\n"
            "cohort = studperf.Cohort.summarize()\n"
            "studperf.compare(cohort, 'math', 'lunch'); studperf.pairs(cohort); studperf.regress(cohort, 'math').pairs()\n"
            "assert 'statsmodels' not in sys.modules\n"
            "studperf.compare(cohort)\n"
            "assert 'statsmodels' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)


def test_adjusted_p_values_are_those_of_the_textbook():
    from studperf.statistics.multiplicity import adjusted

    random = np.random.default_rng(8)
    for m in (1, 2, 15, 400):
        p_values = random.uniform(0, 1, m) ** 3
        order, rank = np.argsort(p_values), np.arange(1, m + 1)
        ascending = p_values[order]
        by_hand = {"none": ascending, "bonferroni": m * ascending, "holm": np.maximum.accumulate(ascending * (m + 1 - rank)),
                   "fdr_bh": np.minimum.accumulate((ascending * m / rank)[::-1])[::-1]}
        for method, expected in by_hand.items():
            with_gaps = np.insert(p_values, m // 2, [np.nan, np.nan])
            found = adjusted(with_gaps, method)
            assert np.isnan(found).tolist() == np.isnan(with_gaps).tolist()
            np.testing.assert_allclose(found[~np.isnan(found)][order], np.minimum(expected, 1), rtol=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(adjusted([np.nan, np.nan])).all() and len(adjusted([])) == 0


def test_adjusting_collects_no_garbage_of_others():
    """Holm's method in statsmodels asks for a full collection, 0.1 s where much is in memory; what others froze stays so."""
    import gc

    from studperf.statistics.multiplicity import adjusted

    adjusted([.01, .02])
    assert gc.get_freeze_count() == 0
    adjusted([.01, .02])
    assert gc.get_freeze_count() == 0
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        adjusted([.01, .02])
        assert frozen - 100 < gc.get_freeze_count() <= frozen
    finally:
        gc.unfreeze()
