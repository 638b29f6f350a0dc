"""Whoever holds the rows, the Cohort is the same to the last bit: lazy frames, a Dask cluster, Spark, PostgreSQL, chunks, files."""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy

from conftest import missing
from studperf import STUDENTS, Cohort, DataError, Schema, simulate_students

pytestmark = pytest.mark.usefixtures("files_by_duckdb")

TRACKED = Schema({**STUDENTS.factors, "grade": ["7", "8", "9"]}, {**STUDENTS.scores, "essay": (-5, 20)}, STUDENTS.ordered,
                 covariates=["age"], cluster="school", aliases=STUDENTS.aliases)


def untidy(n=3000, seed=5):
    """Rows with all that differs between engines: whole numbers as levels, missing levels and scores, half points."""
    random = np.random.default_rng(seed)
    rows = simulate_students(n, seed=seed).astype({name: "str" for name in STUDENTS.factors})
    rows["grade"] = random.integers(7, 10, n)
    rows["essay"] = random.integers(-10, 41, n) / 2
    rows["age"] = np.where(random.random(n) < .1, np.nan, random.integers(120, 200, n) / 10)
    rows["school"] = random.choice(["North", "South", "East", "West"], n)
    for name in ("lunch", "ethnicity", "school"):
        rows[name] = rows[name].where(random.random(n) > .05, None)
    for name in ("reading", "essay"):
        rows[name] = rows[name].where(random.random(n) > .05)
    return rows


@pytest.fixture(scope="module")
def rows():
    return untidy()


@pytest.fixture(scope="module")
def expected(rows):
    return Cohort.summarize(rows, TRACKED)


def test_the_rows_are_untidy(rows, expected):
    assert (expected.n, set(expected.levels("grade"))) == (3000, {"7", "8", "9"})
    assert expected.cells["missing"].nunique() > 4 and expected.cells["lunch"].isna().any()
    assert expected.scales["essay"].decimals == expected.scales["age"].decimals == 1
    assert all(expected.scales[name].discrete for name in TRACKED.scores)


def arrow(rows):
    return pa.Table.from_pandas(rows, preserve_index=False)


@pytest.mark.parametrize("given", [
    pytest.param(lambda rows: pl.from_arrow(arrow(rows)), id="polars"),
    pytest.param(lambda rows: pl.from_arrow(arrow(rows)).lazy(), id="polars lazy"),
    pytest.param(lambda rows: arrow(rows), id="pyarrow"),
    pytest.param(lambda rows: duckdb.from_arrow(arrow(rows)), id="DuckDB relation"),
    pytest.param(lambda rows: rows.astype({"lunch": "category", "grade": "float64"}), id="pandas categories"),
    pytest.param(lambda rows: pl.from_arrow(arrow(rows)).with_columns(pl.col("lunch").cast(pl.Categorical)).lazy(), id="polars lazy categories"),
    pytest.param(lambda rows: (rows[start:start + 700] for start in range(0, len(rows), 700)), id="chunks"),
    pytest.param(lambda rows: [rows[:1000], pl.from_arrow(arrow(rows[1000:])).lazy()], id="a list of chunks of two kinds"),
])
def test_frames(rows, expected, given):
    assert Cohort.summarize(given(rows), TRACKED) == expected


def test_files_of_several_kinds_and_forms(rows, expected, tmp_path):
    rows[:1000].to_parquet(tmp_path / "a.parquet")
    rows[1000:1500].to_parquet(tmp_path / "b.parquet")
    rows[1500:2200].rename(columns={"gender": "sex"}).to_csv(tmp_path / "c.csv", index=False)
    rows[2200:].astype({"grade": "float64"}).to_csv(tmp_path / "d.csv", index=False, sep=";")
    assert Cohort.summarize([tmp_path / "*.parquet", tmp_path / "*.csv"], TRACKED) == expected


def test_a_dask_cluster(rows, expected):
    import dask.dataframe
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster, Client(cluster):
        mixed = dask.dataframe.from_pandas(rows.astype({"lunch": "category"}), npartitions=3)  # the other factors are texts
        assert Cohort.summarize(mixed, TRACKED) == expected


@pytest.fixture(scope="module")
def spark():
    if not shutil.which("java"):
        missing("no Java: Debian's openjdk-17-jre-headless")
    from pyspark.sql import SparkSession

    session = (SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.driver.host", "127.0.0.1")
               .config("spark.driver.bindAddress", "127.0.0.1").config("spark.sql.shuffle.partitions", "2").getOrCreate())
    yield session
    session.stop()


@pytest.mark.slow
def test_spark(rows, expected, spark, tmp_path):
    rows.to_parquet(tmp_path / "rows.parquet")
    assert Cohort.summarize(spark.read.parquet(f"file://{tmp_path}/rows.parquet"), TRACKED) == expected


@pytest.fixture(scope="module")
def postgres():
    """The address of a PostgreSQL server of our own, on a socket in a temporary folder and on no port."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        missing("no PostgreSQL: Debian's postgresql")
    with tempfile.TemporaryDirectory(prefix="studperf-postgres-") as folder:  # not pytest's, which only its owner may enter
        as_postgres = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, "postgres")
            as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        control = [*as_postgres, programs[-1] / "pg_ctl", "-D", f"{folder}/data", "-s"]
        subprocess.run([*as_postgres, programs[-1] / "initdb", "-D", f"{folder}/data", "-U", "studperf", "-A", "trust", "-E", "UTF8"],
                       check=True, stdout=subprocess.DEVNULL, cwd=folder)
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        subprocess.run([*control, "-w", "-l", f"{folder}/log", "-o", options, "start"], check=True, cwd=folder, stdin=subprocess.DEVNULL)
        yield f"postgresql+psycopg://studperf@/postgres?host={folder}"
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=folder)


@pytest.fixture(scope="module")
def database(postgres, rows):
    engine = sqlalchemy.create_engine(postgres)
    rows.to_sql("pupils", engine, index=False)
    yield engine
    engine.dispose()


def test_postgresql_sums_where_the_rows_are(rows, expected, postgres, database):
    assert Cohort.summarize("pupils", TRACKED, database=database) == expected
    assert Cohort.summarize("public.pupils", TRACKED, database=postgres) == expected
    some = Cohort.summarize("SELECT * FROM pupils WHERE grade = 7;", TRACKED, database=database)
    assert some == Cohort.summarize(rows[rows["grade"] == 7], TRACKED)
    table = sqlalchemy.Table("pupils", sqlalchemy.MetaData(), autoload_with=database)
    with database.connect() as connection:
        assert Cohort.summarize(table, TRACKED, database=connection) == expected
        assert Cohort.summarize(sqlalchemy.select(table), TRACKED, database=connection) == expected


def test_postgresql_reads_exact_types(database):
    with database.begin() as connection:
        connection.execute(sqlalchemy.text(
            "CREATE TABLE exact AS SELECT CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END AS class, (i / 4.0)::numeric(8, 2) AS essay, "
            "i::smallint AS exam, 1000000000 + i AS points FROM generate_series(1, 1000) AS i"))
    rows = pd.DataFrame({"i": np.arange(1, 1001)}).assign(
        **{"class": lambda frame: np.where(frame["i"] % 2 == 0, "a", "b"), "essay": lambda frame: frame["i"] / 4,
           "exam": lambda frame: frame["i"], "points": lambda frame: 10**9 + frame["i"]})
    schema = Schema(["class"], ["essay", "exam", "points"])
    assert Cohort.summarize("exact", schema, database=database) == Cohort.summarize(rows, schema)


def test_a_database_is_told_from_a_fault(database):
    with pytest.raises(DataError, match=r'column \'math\': found values from \d+ to 100, expected 0 to 50'):
        Cohort.summarize("pupils", Schema(["gender"], {"math": (0, 50)}), database=database)
    with pytest.raises(DataError, match=r"column 'lunch': found 'standard' \([\d,]+ rows\), expected one of 'free'"):
        Cohort.summarize("pupils", Schema({"lunch": ["free"]}, ["math"]), database=database)
    with pytest.raises(DataError, match="column 'physics': not found"):
        Cohort.summarize("pupils", Schema(["gender"], ["physics"]), database=database)
    with pytest.raises(DataError, match='relation "nobody" does not exist'):
        Cohort.summarize("nobody", STUDENTS, database=database)
    with pytest.raises(DataError, match="invalid input syntax"):
        Cohort.summarize("pupils", Schema(["gender"], ["lunch"]), database=database)


@pytest.mark.parametrize("source", ["frame", "lazy", "file"])
def test_weights_are_checked_and_summed_alike(rows, source, tmp_path):
    schema = Schema({"lunch": None}, {"math": (0, 100)}, weight="weight")
    weights = np.round(np.random.default_rng(1).uniform(.5, 3, len(rows)), 3)

    def give(frame):
        if source == "file":
            frame.to_parquet(tmp_path / "weighted.parquet")
        return {"frame": frame, "lazy": pl.from_arrow(arrow(frame)).lazy(), "file": tmp_path / "weighted.parquet"}[source]

    cohort = Cohort.summarize(give(rows.assign(weight=weights)), schema)
    present = rows["lunch"].notna()
    groups = cohort.moments(["math"], ["lunch"], power=1)
    for level, total, mean in zip(groups.keys["lunch"], groups.n, groups.mean[:, 0], strict=True):
        of_level = (rows["lunch"] == level) & present
        assert total == pytest.approx(weights[of_level].sum(), rel=1e-12)
        assert mean == pytest.approx(np.average(rows["math"][of_level], weights=weights[of_level]), rel=1e-12)
    assert cohort.moments(["math"], ["lunch"]).n.sum() == present.sum()
    for wrong in (-1.0, np.nan):
        with pytest.raises(DataError, match="weight"):
            Cohort.summarize(give(rows.assign(weight=np.where(np.arange(len(rows)) == 7, wrong, weights))), schema)


def test_weighted_cohorts_merge_and_can_be_saved(rows, tmp_path):
    schema = Schema({"lunch": None}, {"math": (0, 100), "essay": None}, weight="weight")
    rows = rows.assign(weight=np.random.default_rng(2).uniform(.5, 3, len(rows)), essay=rows["essay"] + np.pi)
    merged = Cohort.summarize(rows[:1000], schema) + Cohort.summarize(rows[1000:].assign(math=rows["math"][1000:].clip(upper=40)), schema)
    pooled = Cohort.summarize(rows.assign(math=rows["math"].where(np.arange(len(rows)) < 1000, rows["math"].clip(upper=40))), schema)
    for power in (0, 1, 2):
        ours, theirs = (cohort.moments(["math", "essay"], ["lunch"], power=power) for cohort in (merged, pooled))
        np.testing.assert_allclose(ours.n, theirs.n, rtol=1e-12)
        np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-12)
        np.testing.assert_allclose(ours.ss, theirs.ss, rtol=1e-9)
    merged.save(tmp_path / "weighted.parquet")
    assert Cohort.load(tmp_path / "weighted.parquet") == merged
    assert merged.suppress(min_n=10).n == merged.n


@pytest.mark.parametrize("n", [1, 3, 1000])
def test_sums_of_numbers_of_any_size_are_exact(n):
    """Values of up to 52 bits with a spread as large; engines add in 64 bits and would not say that they overflow."""
    random = np.random.default_rng(n)
    values = {name: random.integers(-2**52, 2**52, n) for name in ("essay", "exam")}
    schema = Schema(["class"], ["essay", "exam"])
    rows = pd.DataFrame({"class": ["7a", "7b"] * (n // 2) + ["7a"] * (n % 2), **values})
    cohort = Cohort.summarize(rows, schema)
    assert cohort == Cohort.summarize(pl.from_pandas(rows).lazy(), schema) == Cohort.summarize(duckdb.from_df(rows), schema)
    for a, b in (("essay", "essay"), ("essay", "exam"), ("exam", "exam")):
        exact = sum(int(x) * int(y) for x, y in zip(values[a], values[b], strict=True))
        assert sum(map(int, cohort.cells[f"sum of {a} x {b}"])) == exact


def test_memory_is_limited(tmp_path):
    """Forty million bytes hold neither the rows nor their parsed copy; DuckDB streams them, and says so when even that is too little."""
    rows = pd.concat([simulate_students(200_000, seed=1)] * 3)
    rows.to_csv(tmp_path / "many.csv", index=False)
    assert Cohort.summarize(tmp_path / "many.csv", memory_limit="300MB") == Cohort.summarize(rows)
    with pytest.raises(MemoryError, match="memory limit of 1MB"):
        Cohort.summarize(tmp_path / "many.csv", memory_limit="1MB")


def test_an_empty_iterator_and_an_empty_frame_are_told():
    with pytest.raises(DataError, match="it gave no chunk"):
        Cohort.summarize(iter([]))
    with pytest.raises(FileNotFoundError, match="no file given"):
        Cohort.summarize([])
    with pytest.raises(DataError, match="no rows"):
        Cohort.summarize(pl.from_pandas(simulate_students(3)).filter(pl.col("math") > 200).lazy())
    with pytest.raises(TypeError):
        Cohort.summarize(5)


@pytest.fixture(scope="module")
def sqlite():
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
    rows = pd.DataFrame({"class": ["7a", "7b"] * 20, "exam": np.arange(40) * 1.5, "essay": [1, 2, None, 4] * 10})
    rows.to_sql("Selected pupils", engine, index=False)
    rows.to_sql("selected_pupils", engine, index=False)
    rows.astype({"exam": object}).assign(exam=[*rows["exam"][:38], "", "absent"]).to_sql("texts", engine, index=False)
    yield engine, rows
    engine.dispose()


@pytest.mark.parametrize("source", [
    "Selected pupils", "selected_pupils", "main.selected_pupils", "SELECT * FROM selected_pupils;\n",
    'with chosen AS (SELECT * FROM "Selected pupils")\nSELECT * FROM chosen', "(SELECT * FROM selected_pupils)",
    "-- exams\n/* of\nall */ SELECT * FROM selected_pupils -- as they are", "SELECT * FROM selected_pupils WHERE class <> ' :b' AND class LIKE '7%'"])
def test_sqlite_reads_tables_and_queries(sqlite, source):
    engine, rows = sqlite
    schema = Schema(["class"], ["exam", "essay"])
    assert Cohort.summarize(source, schema, database=engine) == Cohort.summarize(rows, schema)


def test_sqlite_does_not_count_texts_as_0(sqlite):
    engine, _ = sqlite
    with pytest.raises(DataError, match="column 'exam': holds texts such as 'absent', expected numbers"):
        Cohort.summarize("texts", Schema(["class"], ["exam"]), database=engine)


def test_a_text_in_a_query_is_no_parameter(sqlite):
    engine, rows = sqlite
    schema = Schema(["class"], ["exam"])
    found = Cohort.summarize("SELECT ' :b' AS class, exam FROM selected_pupils", schema, database=engine)
    assert found == Cohort.summarize(rows.assign(**{"class": " :b"}), schema)


def test_postgresql_takes_a_query_as_it_stands(rows, database):
    odd = Cohort.summarize("WITH odd AS (SELECT * FROM pupils WHERE grade::integer % 2 = 1 AND gender LIKE '%male')\n"
                           "SELECT * FROM odd -- no '12 :30'", TRACKED, database=database)
    assert odd == Cohort.summarize(rows[rows["grade"] % 2 == 1], TRACKED)


@pytest.mark.parametrize("has_missing", [False, True])
def test_sixty_two_scores_are_the_most(has_missing):
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"class": list("abcdefghijklmnopqrst") * 2, **{f"item {i}": random.integers(0, 3, 40) for i in range(63)}})
    if has_missing:
        rows = rows.astype({"item 0": float, "item 61": float})
        rows.loc[0, "item 0"] = rows.loc[5, "item 61"] = np.nan
    schema = Schema(["class"], [f"item {i}" for i in range(62)])
    cohort = Cohort.summarize(rows, schema)
    assert cohort == Cohort.summarize(pl.from_pandas(rows).lazy(), schema)
    counts = cohort.value_counts("item 61", ["class"])
    assert counts.set_index(["class", "value"])["count"].to_dict() == rows.groupby(["class", "item 61"]).size().to_dict()
    with pytest.raises(ValueError, match="the Schema has 63 scores and covariates, expected at most 62"):
        Cohort.summarize(rows, Schema(["class"], [f"item {i}" for i in range(63)]))


@pytest.mark.parametrize(("levels", "expected"), [
    pytest.param(pa.array([7, float("nan"), None, 8.5] * 10), ["7", "8.5"], id="numbers that are NaN"),
    pytest.param(pa.array(pd.to_datetime(["2020-01-01", "2020-01-01", "2021-02-03", "2021-02-03"] * 10).date), ["2020-01-01", "2021-02-03"], id="dates"),
    pytest.param(pa.nulls(40), [], id="nothing"),
])
@pytest.mark.parametrize("given", [
    pytest.param(lambda table: table.to_pandas(), id="pandas"), pytest.param(lambda table: table.to_pandas(types_mapper=pd.ArrowDtype), id="pandas by Arrow"),
    pytest.param(lambda table: pl.from_arrow(table), id="polars"), pytest.param(lambda table: pl.from_arrow(table).lazy(), id="polars lazy"),
    pytest.param(lambda table: duckdb.from_arrow(table), id="DuckDB relation")])
def test_levels_that_engines_write_in_their_own_ways(levels, expected, given):
    schema = Schema(["class"], ["exam", "essay"])
    table = pa.table({"class": levels, "exam": pa.array([float("nan"), 2.5, None, 3] * 10), "essay": pa.nulls(40)})
    cohort = Cohort.summarize(given(table), schema)
    assert cohort.levels("class") == expected
    assert (cohort.moments(["exam"]).n.tolist(), cohort.moments(["essay"]).n.tolist()) == ([20], [])
    assert cohort == Cohort.summarize(table, schema)


@pytest.mark.parametrize("text", ["NAN", "Nan", "nan", "n/a", "-"])
def test_a_text_for_no_value_is_missing_at_every_door(text, tmp_path):
    (tmp_path / "exams.csv").write_text(f"class,exam\n7a,{text}\n7b,5\n")
    schema = Schema(["class"], ["exam"])
    small = Cohort.summarize(tmp_path / "exams.csv", schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studperf.cohort.summarizing.SMALL_FILE", 0)  # by DuckDB, too
        assert Cohort.summarize(tmp_path / "exams.csv", schema) == small
    assert (small.n, small.moments(["exam"]).n.tolist()) == (2, [1])


@pytest.mark.parametrize("text", ["-nan", "Nano", "N A N"])
def test_a_text_that_is_no_number_is_a_fault_at_every_door(text, tmp_path):
    (tmp_path / "exams.csv").write_text(f"class,exam\n7a,{text}\n7b,5\n")
    with pytest.raises(DataError, match=f"row 2, column 'exam': found '{text}', expected a number"):
        Cohort.summarize(tmp_path / "exams.csv", Schema(["class"], ["exam"]))


def test_suppressed_students_leave_no_trace_in_the_scales():
    """Nobody who is left has a score in reading, so its scale must not tell the suppressed students' mean."""
    rows = pd.DataFrame({"class": ["a"] * 20 + ["b"] * 2, "math": np.r_[np.linspace(40, 60, 20) + 1e-9, 90.123456789, 91],
                         "reading": [np.nan] * 20 + [77.123456789, 79], "weight": 1.5})
    for schema in (Schema(["class"], ["math", "reading"]), Schema(["class"], ["math", "reading"], weight="weight")):
        cohort = Cohort.summarize(rows, schema)
        left = cohort.suppress(min_n=5, alone=True)
        assert (left.scales["math"].origin, left.scales["reading"].origin, left.scales["reading"].center) == (50, 0, 0)
        assert all(scale.origin == scale.center == 0 for scale in cohort.suppress(min_n=100).scales.values())


@pytest.mark.parametrize("name", ["N", "Missing", "weight as number", "units of exam", "centred exam", "Decimals of exam", "values of exam",
                                  "total units of exam", "units of exam * units of exam", "digit 0 of exam"])
def test_columns_that_the_sums_would_overwrite_are_refused(name):
    with pytest.raises(ValueError, match=f"result tables need the name {name.replace('*', '[*]')!r} for themselves"):
        Schema([name], ["exam"])


def test_columns_that_only_sound_alike_are_taken():
    rows = pd.DataFrame({"total score": [1, 2, 3, 4.5], "units of alcohol": [0, 1, 0, 2], "Count of visits": [1, 2, 1, 1], "class": list("abab")})
    schema = Schema(["class", "Count of visits"], ["total score"], covariates=["units of alcohol"])
    assert Cohort.summarize(duckdb.from_df(rows), schema) == Cohort.summarize(rows, schema)


def test_a_memory_limit_that_is_none_is_told(rows, tmp_path):
    rows[:10].to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="memory_limit: found 'lots', expected a size such as '1GB'"):
        Cohort.summarize(tmp_path / "rows.parquet", TRACKED, memory_limit="lots")


def test_columns_of_the_same_name_matter_only_if_they_are_asked_for():
    rows = pd.DataFrame([["7a", 50, 1, 2], ["7b", 60, 3, 4]], columns=["class", "exam", "note", "note"])
    assert Cohort.summarize(rows, Schema(["class"], ["exam"])) == Cohort.summarize(rows.iloc[:, :2], Schema(["class"], ["exam"]))
    with pytest.raises(DataError, match="column 'note' appears 2 times"):
        Cohort.summarize(rows, Schema(["class"], ["exam", "note"]))


@pytest.mark.parametrize("weight", [None, "weight"])
def test_a_school_where_nobody_is_left_takes_no_digits_from_another(weight):
    """Scores about 1e8 with SD 1: summed about 0 they would have no variance."""
    schema = Schema(["class"], ["exam"], weight=weight)
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"class": "a", "exam": 1e8 + random.normal(0, 1, 50), "weight": 2.0})
    none_left = Cohort.summarize(rows[:5].assign(exam=lambda frame: frame["exam"] - 1e8), schema).suppress()
    for exams in (rows, rows.round()):
        for merged in (none_left + Cohort.summarize(exams, schema), Cohort.summarize(exams, schema) + none_left):
            assert merged.moments(["exam"]).var[0, 0] == pytest.approx(exams["exam"].var(), rel=1e-6)
            if weight:
                assert merged.moments(["exam"], power=1).ss[0, 0, 0] == pytest.approx(2 * 49 * exams["exam"].var(), rel=1e-6)


def test_only_cohorts_are_added():
    cohort = Cohort.summarize(simulate_students(5))
    with pytest.raises(TypeError, match="unsupported operand"):
        cohort + 5


def test_parts_without_rows_and_truth_values_of_two_kinds(tmp_path):
    """Spark writes empty parts; a column of truth values may be texts in another part."""
    schema = Schema(["passed"], ["mark"])
    parts = [pd.DataFrame({"passed": [True, False, True], "mark": [1, 2, 3]}), pd.DataFrame({"passed": ["False", "True"], "mark": [4, 5]})]
    for i, part in enumerate([*parts, parts[0][:0]]):
        part.to_parquet(tmp_path / f"{i}.parquet")
    whole = Cohort.summarize(pd.concat([part.astype({"passed": str}) for part in parts]), schema)
    assert Cohort.summarize(tmp_path / "*.parquet", schema) == whole
    assert Cohort.summarize(iter([*parts, parts[0][:0]]), schema) == whole


def test_a_folder_is_told(tmp_path):
    with pytest.raises(ValueError, match="is a folder; give its files, such as"):
        Cohort.summarize(tmp_path)


def test_suppression_hides_cells_in_which_one_student_has_the_weight():
    rows = pd.DataFrame({"class": ["7a"] * 10 + ["7b"] * 10, "mark": range(20), "w": [1] + [0] * 9 + [1, 2] * 5})
    cohort = Cohort.summarize(rows, Schema(["class"], ["mark"], weight="w"))
    shown = cohort.suppress(min_n=10)
    assert (shown.levels("class"), shown.n, shown.suppressed) == (["7b"], 10, 10)
    for wrong in ("10", 2.5, float("nan"), 0):
        with pytest.raises(ValueError, match="min_n: found"):
            cohort.suppress(min_n=wrong)
