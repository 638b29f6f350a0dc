"""What makes studperf quick stays so: nothing is loaded in vain, and quick ways find what slow ones find."""
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import studperf
from studperf.cohort.cells import occurring_levels
from studperf.cohort.duckdb_files import WHITESPACE, duckdb_session, file_form
from studperf.reporting.sentences import higher_first
from studperf.rows.schema import Schema
from studperf.statistics.groups import COMPARISON_COLUMNS, TEXT_COLUMNS, comparison_table

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
LONG = {"matplotlib.pyplot", "statsmodels.genmod.generalized_linear_model", "formulaic", "seaborn", "IPython", "nbformat"}


def test_a_report_without_a_mark_does_not_wait_for_what_it_does_not_use(tmp_path):
    code = f"import json, sys, studperf; studperf.report(None, {str(tmp_path / 'report.html')!r}); print(json.dumps(list(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout))
    assert "matplotlib.ticker" in loaded and not loaded & LONG


# A line is no student if no cell holds anything but white space; whatever the first cell is, the others count.
FIRST_CELLS = ("", " ", "\t", "\u00a0", "\u3000", "a", "~", "~~", "!", "é", " a", "\u200b", "ß", "日", '"a,b"', '""', '" "')


@pytest.mark.parametrize("second", ["", " ", "x", "é"])
def test_lines_without_anything_are_no_students(second, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,points\n" + "".join(f"{first},{second},{points}\n" for first in FIRST_CELLS for points in ("", "5")), encoding="utf-8")
    schema = Schema(factors=["a", "b"], scores=["points"])
    with duckdb_session("500MB", in_order=True) as (connection, _):
        form = file_form(str(path), schema, connection)
        found = connection.execute(f"SELECT column0, column1, column2 FROM {form.rows([str(path)])}").fetchall()
        every = connection.execute(f"SELECT column0, column1, column2 FROM {replace(form, condition='').rows([str(path)])}").fetchall()
    assert len(every) == 2 * len(FIRST_CELLS)
    assert found == [row for row in every if "".join(cell or "" for cell in row).strip(WHITESPACE)]


def test_a_table_of_comparisons_is_what_series_would_make_of_its_rows():
    rows = [{"score": "math", "factor": "lunch", "n_a": 3, "estimate": np.float64(1.5), "method": ""},
            {"score": "math", "group_a": "A", "n_a": None, "estimate": np.nan, "p_value": 1}]
    for part in (rows, rows[:1], []):
        expected = pd.DataFrame({name: pd.Series([row.get(name) for row in part], dtype="str" if name in TEXT_COLUMNS else float)
                                 for name in COMPARISON_COLUMNS})
        pd.testing.assert_frame_equal(comparison_table(part), expected)


def test_comparisons_are_turned_round_where_the_second_group_is_higher():
    table = studperf.pairs(studperf.Cohort.summarize())
    turned, negative = higher_first(table), table["estimate"] < 0
    pd.testing.assert_frame_equal(turned[~negative], table[~negative])
    pd.testing.assert_frame_equal(turned.dtypes.to_frame(), table.dtypes.to_frame())
    assert negative.any() and (turned["estimate"] >= 0).all() and (turned["ci_low"] <= turned["estimate"]).all()
    back, first = turned[negative].iloc[0], table[negative].iloc[0]
    assert (back["group_a"], back["n_a"], back["ci_low"], back["effect_high"]) == (first["group_b"], first["n_b"], -first["ci_high"], -first["effect_low"])


def test_levels_that_nobody_has_do_not_occur():
    column = pd.Categorical(["b", None, "d", "b"], categories=["d", "c", "b", "a"])
    assert occurring_levels(column) == ["d", "b"] and occurring_levels(column[1:2]) == []


def test_levels_that_a_cohort_returned_can_be_changed():
    cohort = studperf.Cohort.summarize()
    cohort.levels("lunch").clear()
    assert cohort.levels("lunch") == ["free/reduced", "standard"]


@pytest.fixture
def old_and_new(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import old_and_new
    monkeypatch.setattr(old_and_new, "ENOUGH_SECONDS", 0)
    return old_and_new


def test_old_and_new_do_every_piece_of_work(old_and_new, tmp_path):
    path = tmp_path / "students.csv"
    studperf.simulate_students(300, seed=4).to_csv(path, index=False)
    files = {f"{rows:,}": str(path) for rows in old_and_new.SIZES} | {"out": str(tmp_path)}
    seconds = {name: old_and_new.seconds_of(name, files) for name in (*old_and_new.FIRST, *old_and_new.AGAIN)}
    assert min(seconds.values()) >= 0 and len(seconds) == 13
    assert {"report.html", "predicted.csv"} <= {path.name for path in tmp_path.iterdir()}


def test_old_and_new_measure_the_copy_that_they_name(old_and_new, tmp_path):
    assert 0 <= old_and_new.measured(BENCHMARKS.parent, "import studperf", {}, ["polars"]) < 10
    with pytest.raises(SystemExit, match="expected it under"):
        old_and_new.measured(tmp_path, "import studperf", {}, [])
