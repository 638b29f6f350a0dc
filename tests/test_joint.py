"""How often two scores occur together: the same from every engine, as pandas counts them in the rows."""
import numpy as np
import pandas as pd
import polars
import pytest

from studperf import Cohort, Schema
from studperf.reporting.canvas import alt_of
from studperf.reporting.figures_of_scores import plot_scores

pytestmark = pytest.mark.usefixtures("files_by_duckdb")
SCHEMA = Schema(["class"], {"essay": None, "talk": None, "exam": None, "length": None})


def table(n=3000, seed=2):
    "Whole, half and negative marks, some missing; and lengths with too many possible values."
    random = np.random.default_rng(seed)
    essay = random.integers(-5, 16, n)
    rows = pd.DataFrame({"class": random.choice(["7a", "7b", "7c"], n), "essay": essay, "talk": (essay + random.integers(0, 9, n)) / 2,
                         "exam": random.normal(50, 10, n).round(1), "length": random.integers(0, 5000, n)})
    return rows.assign(talk=rows["talk"].where(random.random(n) > .1), exam=rows["exam"].where(random.random(n) > .2))


@pytest.mark.parametrize("source", ["frame", "lazy frame", "csv", "parquet", "chunks"])
def test_every_engine_counts_pairs_as_pandas_does(tmp_path, source):
    rows = table()
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.to_parquet(tmp_path / "a.parquet")
    given = {"frame": rows, "lazy frame": polars.from_pandas(rows).lazy(), "csv": tmp_path / "a.csv", "parquet": tmp_path / "a.parquet",
             "chunks": iter([rows[:1000], rows[1000:]])}[source]
    cohort = Cohort.summarize(given, SCHEMA, joint=True)
    for first, second in [("essay", "talk"), ("exam", "essay"), ("talk", "exam")]:
        expected = rows.value_counts([first, second]).to_dict()
        assert cohort.joint_counts(first, second).set_index(["value_a", "value_b"])["count"].to_dict() == expected
    with pytest.raises(ValueError, match="'essay' and 'length': one of them has more than 1,001 possible values"):
        cohort.joint_counts("essay", "length")


def test_no_square_shows_a_few_students():
    cohort = Cohort.summarize(table(), SCHEMA, joint=True)
    ax = plot_scores(cohort, "talk", "essay", min_n=25)
    squares = ax.collections[0].get_array()
    assert squares.min() >= 25 and squares.sum() >= .9 * len(table().dropna(subset=["talk"]))
    assert f"{len(table().dropna(subset=['talk'])):,} students" in alt_of(ax)


def test_suppression_leaves_no_rare_pair():
    rows = table().drop(columns="length")
    schema = SCHEMA.only(["class", "essay", "talk", "exam"])
    cohort = Cohort.summarize(rows, schema, joint=True)
    assert cohort.suppress(min_n=10).joint_counts("essay", "talk")["count"].min() >= 10
    lone = Cohort.summarize(pd.concat([rows, rows[:1].assign(**{"class": "8"})]), schema, joint=True)
    assert (lone.suppress(min_n=2).n, lone.suppress(min_n=2).suppressed) == (3000, 0)  # nothing of these students counts the one
    lone = lone.suppress(min_n=2, alone=True)
    assert lone.suppressed == 1
    with pytest.raises(ValueError, match="cells were left out"):
        lone.joint_counts("essay", "talk")
    with pytest.raises(ValueError, match="made without them"):
        cohort.suppress(counts=False).joint_counts("essay", "talk")
