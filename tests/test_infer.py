"""Drafting a Schema for the tables that schools have: thirty columns, 0 to 20 points, codes, decimal commas, marks for absence."""
import warnings

import numpy as np
import pandas as pd
import pytest

from studperf import Cohort, DataError, DataWarning, Schema, load_students, regress
from studperf.rows.reading import read_raw

WORDS = {  # columns of the Portuguese student file (Cortez and Silva, 2008): their texts, or lowest and highest code
    "school": "GP MS", "sex": "F M", "age": (15, 22), "address": "U R", "famsize": "LE3 GT3", "Pstatus": "T A", "Medu": (0, 4), "Fedu": (0, 4),
    "Mjob": "teacher health services at_home other", "Fjob": "teacher health services at_home other",
    "reason": "home reputation course other", "guardian": "mother father other", "traveltime": (1, 4), "studytime": (1, 4), "failures": (0, 3),
    "schoolsup": "yes no", "famsup": "yes no", "paid": "yes no", "activities": "yes no", "nursery": "yes no", "higher": "yes no",
    "internet": "yes no", "romantic": "yes no", "famrel": (1, 5), "freetime": (1, 5), "goout": (1, 5), "Dalc": (1, 5), "Walc": (1, 5),
    "health": (1, 5), "absences": (0, 75)}
CODES = ["Medu", "Fedu", "traveltime", "studytime", "failures", "famrel", "freetime", "goout", "Dalc", "Walc", "health"]
GRADES = ["G1", "G2", "G3"]


def portuguese(n=395, seed=0):
    "A table with the names and ranges of the Portuguese student file."
    random = np.random.default_rng(seed)
    columns = {name: random.choice(values.split(), n) if isinstance(values, str) else random.integers(values[0], values[1] + 1, n)
               for name, values in WORDS.items()}
    columns["absences"] = np.minimum(random.geometric(.15, n) - 1, 75)
    ability = random.normal(11, 3, n) + .5 * columns["Medu"] - 1.2 * columns["failures"]
    return pd.DataFrame(columns | {grade: np.clip(np.rint(ability + random.normal(0, 1.2, n)), 0, 20).astype(int) for grade in GRADES})


def quietly(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return function(*arguments, **options)


def test_the_portuguese_table():
    table = portuguese()
    draft = Schema.infer(table, scores=GRADES)
    assert list(draft.scores) == GRADES
    assert draft.covariates == ("age", "absences")
    assert list(draft.ordered) == CODES and draft.factors["famrel"] == ("1", "2", "3", "4", "5") and draft.factors["Medu"][0] == "0"
    assert list(draft.factors) == [name for name in WORDS if name not in ("age", "absences")] and not draft.left_out
    assert list(draft.roles["column"]) == [*draft.scores, *draft.factors, *draft.covariates] and (draft.roles["note"].str.len() > 10).all()
    cohort = Cohort.summarize(table, draft)
    assert cohort.n == 395 and regress(cohort, "G3", factors=["sex", "Medu"]).n == 395


def test_a_further_score_is_no_covariate():
    draft = Schema.infer(portuguese(), scores=["G3"])
    assert list(draft.left_out) == ["G1", "G2"] and "further score" in draft.left_out["G1"] and "name it in scores" in draft.left_out["G1"]
    assert Schema.infer(portuguese(), ["G3"], covariates=["G1"]).covariates == ("age", "absences", "G1")


def messy(n=240, seed=3):
    "Thirty columns as they are typed: each with its own fault."
    random = np.random.default_rng(seed)
    math, reading = (np.clip(np.rint(random.normal(12, 3, n) * 2) / 2, 0, 20) for _ in range(2))

    def some(values, share=.04):
        return np.where(random.random(n) < share, random.choice(values, n), "")

    def with_marks(texts, marks):
        typed = some(marks)
        return np.where(typed != "", typed, texts)

    def comma(numbers):
        return np.char.replace(numbers.astype(str), ".", ",")

    days = pd.Timestamp("2011-01-01") + pd.to_timedelta(random.integers(0, 900, n), "D")
    typed_sex = random.choice(["F", "M", "f", " M", "m "], n, p=[.45, .45, .04, .03, .03])
    sentence = random.choice("works hard is often late needs help with fractions today again".split(), (n, 9))
    track = random.integers(1, 5, n)
    return {
        "Student No": [f"S{i:04d}" for i in range(n)], "Family name": [f"Name{i}" for i in random.permutation(n)],
        "Year": ["2026"] * n, "Date of birth": days.strftime("%d/%m/%Y"), "Test day": random.choice(["4 May 2026", "May 5, 2026"], n),
        "Sex": typed_sex, "Gender code": np.where(np.char.upper(np.char.strip(typed_sex)) == "F", 1, 2).astype(str),
        "Math": with_marks(comma(math), ["NA", "-", "abs", "ABS"]), "Reading": with_marks(comma(reading), ["", "abs"]),
        "Total": comma(math + reading), "Passed": np.where(math >= 10, "pass", "fail"),
        "Age": random.integers(14, 17, n).astype(str), "Absences": with_marks((random.geometric(.2, n) - 1).astype(str), ["-"]),
        "Income": comma(random.normal(31, 6, n).round(2)), "Attendance": np.char.add(random.integers(60, 101, n).astype(str), "%"),
        "Books": with_marks(random.integers(1, 6, n).astype(str), ["99"]), "Track": track.astype(str), "Track again": track.astype(str),
        "Internet": random.choice(["yes", "no", "Yes", "NO"], n, p=[.45, .45, .05, .05]), "Meals": random.choice(["True", "False"], n),
        "Language": with_marks(random.choice(["Português", "English", "Français"], n), ["?"]),
        "Town": [f"town {i}" for i in random.integers(0, 90, n)], "School": [f"school {i}" for i in random.integers(0, 25, n)],
        "Comment": [" ".join(words) for words in sentence], "Empty": [""] * n, "Support": random.choice(["low", "middle", "high"], n),
        "n": random.integers(0, 5, n).astype(str), "": [str(i) for i in range(n)], "Weight": random.normal(1, .1, n).round(3).astype(str),
        "Ratio": with_marks(random.normal(1, .1, n).round(3).astype(str), ["1.O1"])}


EXPECTED = {
    "factor": ["Sex", "Track", "Internet", "Meals", "Language", "Support", "Books"], "covariate": ["Age", "Absences", "Income", "Attendance"],
    "score": ["Math", "Reading"], "cluster": ["School"], "weight": ["Weight"],
    "left out": ["Student No", "Family name", "Year", "Date of birth", "Test day", "Gender code", "Total", "Passed", "Track again", "Town", "Comment",
                 "Empty", "n", "", "Ratio"]}
REASONS = {"Student No": "every value is different", "Year": "the same value in all rows", "Date of birth": "holds dates", "Test day": "holds dates",
           "Total": "follows from the scores", "Passed": "levels follow from", "Track again": "says the same as 'Track'",
           "Town": "students share 'School', too.*cluster='Town'", "Comment": "free text", "Empty": "is empty", "n": "rename it", "": "has no name",
           "Ratio": "'1.O1' is not: correct"}


def test_a_messy_table():
    table = pd.DataFrame(messy())
    before = table.copy()
    draft = Schema.infer(table, scores=["math", "Reading"])
    assert table.equals(before) and table.shape[1] == 30
    roles = draft.roles.set_index("column")
    found = roles["role"].replace("ordered factor", "factor")
    assert {role: set(found.index[found == role]) for role in EXPECTED} == {role: set(names) for role, names in EXPECTED.items()}
    for name, reason in REASONS.items():
        assert pd.Series(draft.left_out[name]).str.contains(reason).all(), draft.left_out[name]
    assert draft.ordered == ("Books", "Support") and draft.factors["Support"] == ("low", "middle", "high") and draft.decimal == ","
    assert draft.recode["Math"] == {"-": "", "abs": "", "ABS": ""} and draft.recode["Books"] == {"99": ""} and draft.recode["Language"] == {"?": ""}
    assert draft.recode["Sex"] == {"f": "F", " M": "M", "m ": "M"} and draft.recode["Internet"] == {"Yes": "yes", "NO": "no"}
    assert "taken as missing: 'abs'" in roles["note"]["Math"] and "limits 0 to 20 are assumed" in roles["note"]["Math"]
    assert "taken as missing: '99'" in roles["note"]["Books"] and "read ' M' as 'M'" in roles["note"]["Sex"]


@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_messy_file_is_read_as_its_draft_says(tmp_path, encoding, separator, monkeypatch):
    content, path = pd.DataFrame(messy()), tmp_path / "marks.csv"
    path.write_bytes(content.to_csv(index=False, sep=separator).encode(encoding))
    draft = Schema.infer(read_raw(path).frame, scores=["Math", "Reading"])
    read = quietly(load_students, path, schema=draft)
    numbers = pd.to_numeric(content["Math"].str.replace(",", "."), errors="coerce")
    assert np.array_equal(read["Math"], numbers, equal_nan=True) and numbers.isna().sum() > 5
    assert read["Sex"].value_counts().to_dict() == content["Sex"].str.strip().str.upper().value_counts().to_dict()
    assert read["Attendance"].tolist() == content["Attendance"].str.rstrip("%").astype(int).tolist()
    assert sorted(read["Language"].dropna().unique()) == ["English", "Français", "Português"]
    expected = Cohort.summarize(read, draft)
    monkeypatch.setattr("studperf.cohort.summarizing.SMALL_FILE", 0)  # by DuckDB, too
    monkeypatch.setattr("studperf.cohort.summarizing._summarize_loaded", lambda *_: pytest.fail("DuckDB did not read it") if encoding.startswith("utf-8")
                        else expected)
    assert Cohort.summarize(path, draft) == expected == quietly(Cohort.summarize, content, draft)


def test_what_numbers_mean_is_read_alike_everywhere(tmp_path, monkeypatch):
    random = np.random.default_rng(5)
    table = pd.DataFrame({"sex": random.integers(1, 3, 200), "math": np.where(random.random(200) < .1, 999, random.integers(0, 21, 200)),
                          "age": random.choice([14., 15, 16, -9], 200)})
    draft = Schema.infer(table, scores=["math"])
    assert {name: set(texts) for name, texts in draft.recode.items()} == {"math": {"999"}, "age": {"-9", "-9.0"}}
    expected = quietly(load_students, table, schema=draft)
    assert expected["math"].max() <= 20 and expected["age"].min() == 14
    cohort = Cohort.summarize(expected, draft)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr("studperf.cohort.summarizing.SMALL_FILE", 0)
    monkeypatch.setattr("studperf.cohort.summarizing._summarize_loaded", lambda *_: pytest.fail("DuckDB did not read it"))
    for path in ("a.csv", "a.parquet"):
        assert Cohort.summarize(tmp_path / path, draft) == cohort
    import polars

    with pytest.raises(ValueError, match="recode names numbers of 'math', 'age'.*in its own query"):
        Cohort.summarize(polars.from_pandas(table).lazy(), draft)


def test_a_draft_survives_its_file(tmp_path):
    draft = Schema.infer(pd.DataFrame(messy()), scores=["Math", "Reading"])
    assert draft.weight == "Weight" and draft.scores["Math"] == (0, 20)
    draft.to_toml(tmp_path / "draft.toml")
    again = Schema.from_toml(tmp_path / "draft.toml")
    assert again == draft and (again.recode, again.decimal, again.notes, again.left_out) == (draft.recode, draft.decimal, draft.notes, draft.left_out)


def test_misprints_stay_faults():
    table = pd.DataFrame({"sex": ["F", "M"] * 20, "math": ["12"] * 20 + ["9"] * 19 + ["l2"]})
    draft = Schema.infer(table, ["math"])
    assert "correct what is no number: 'l2'" in draft.notes["math"] and not draft.recode
    with pytest.raises(DataError, match="row 39, column 'math': found 'l2'"):
        load_students(table, schema=draft)


def test_columns_of_one_name_are_left_out_unless_they_are_scores():
    table = pd.DataFrame([["a", 1, "x", "b"], ["b", 3, "x", "a"], ["b", 3, "y", "b"]] * 20, columns=["sex", "math", "group", "sex"])
    draft = Schema.infer(table, ["math"])
    assert "2 columns of this name" in draft.left_out["sex"] and load_students(table, schema=draft).shape == (60, 2)
    with pytest.raises(ValueError, match="column 'sex' appears 2 times; keep one"):
        Schema.infer(table, ["sex"])
    other = pd.DataFrame({"Sex": ["a", "b"] * 20, "sex": ["c", "c", "d", "d"] * 10, "math": range(40)})
    assert "differs from 'Sex' in case alone" in Schema.infer(other, ["math"]).left_out["sex"]


@pytest.mark.parametrize("kind", ["object", "category", "string[pyarrow]", "float", "bool", "datetime64[ns]", "Int64"])
def test_every_type_of_column_gets_a_role(kind):
    values = {"float": [1.5, np.nan, 2.5, 3.0], "bool": [True, False, True, True], "datetime64[ns]": ["2026-05-04", "2026-05-05", None, "2026-05-06"],
              "Int64": [1, None, 2, 3], "object": [1, "a", None, 2.5]}.get(kind, ["a", "b", None, "a"])
    table = pd.DataFrame({"it": pd.Series(values * 15).astype(kind), "math": range(60)})
    draft = Schema.infer(table, ["math"])
    assert set(draft.roles["column"]) == {"it", "math"} and (draft.roles["note"] != "").all()
    quietly(load_students, table, schema=draft)


def test_a_table_of_few_rows():
    table = pd.DataFrame({"name": ["Ann", "Bo", "Cy", "Di"], "sex": ["F", "M", "M", "F"], "math": [1, 2, 3, 4]})
    draft = Schema.infer(table, ["math"])
    assert list(draft.factors) == ["sex"] and "hardly two students share one" in draft.left_out["name"]


def test_a_column_that_is_hardly_filled_is_left_out():
    table = pd.DataFrame({"remark": ["was ill for long", "moved here", ""] + [""] * 57, "support": ["a", "b", "", "b"] * 15, "math": range(60)})
    draft = Schema.infer(table, ["math"])
    assert "only 2 of 60 rows have a value" in draft.left_out["remark"] and "15 of 60 cells are empty" in draft.notes["support"]
    assert list(Schema.infer(table, ["math"], factors=["remark"]).factors) == ["remark", "support"]
