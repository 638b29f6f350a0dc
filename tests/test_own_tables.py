"""Tables that nobody here made: what the columns are is seen as a person sees it, and a report needs no option."""
import csv
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from studperf import Schema
from studperf.cohort.cohort import schema_for
from studperf.rows.reading import read_raw
from studperf.rows.values import UnclearScores

from conftest import shared_file  # skips with the reason where the shared tables are absent and CI is not set

RIGHT = {"scores": ("score",), "factor": ("factor", "ordered factor"), "ordered": ("ordered factor",), "quantity": ("covariate",),
         "cluster": ("cluster", "left out"), "id": ("left out", "cluster"), "leak": ("left out",), "weight": ("weight",)}


def truth():
    roles = defaultdict(lambda: defaultdict(set))
    with open(shared_file("wild", "roles.csv"), encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            roles[line["file"]][line["column"]].add(line["role"])
    return roles


@pytest.mark.parametrize("found", [False, True], ids=["scores named", "scores found"])
def test_roles_are_those_that_a_person_gives(found):
    right, of, wrong = 0, 0, []
    for file, columns in truth().items():
        scores = None if found else [column for column, roles in columns.items() if "scores" in roles]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema = Schema.infer(read_raw(shared_file("wild", file)).frame, scores)
        roles = dict(zip(schema.roles["column"], schema.roles["role"], strict=True))
        for column, names in columns.items():
            allowed = {role for name in names for role in RIGHT.get(name, ())}
            if allowed:
                of, right = of + 1, right + (roles.get(column) in allowed)
                wrong += [f"{file}: {column} is {roles.get(column)}"] * (roles.get(column) not in allowed)
            if "repeated" in names:
                assert schema.rows_per_student > 1 and schema.people == "results"
        assert set(schema.certainty.values()) <= {"sure", "likely", "ask"} and set(schema.certainty) == set(roles)
    assert right >= .95 * of, wrong


def draft(**columns):
    return Schema.infer(pd.DataFrame(columns))


RANDOM = np.random.default_rng(0)
MARKS = RANDOM.integers(0, 21, 120)


def test_letters_and_words_are_scores_with_stated_values():
    schema = draft(sex=["F", "M"] * 60, Grade=["A-", "B+", "C", "D", "F", "A"] * 20)
    assert schema.recode["Grade"] == {"A-": "3.7", "B+": "3.3", "C": "2", "D": "1", "F": "0", "A": "4"}
    assert "'A-' is 3.7" in schema.notes["Grade"] and "a convention" in schema.notes["Grade"]
    german = draft(Klasse=["8a", "8b"] * 60, Note=["sehr gut", "gut", "befriedigend", "mangelhaft"] * 30)
    assert german.recode["Note"]["sehr gut"] == "1" and german.lowest_best == ("Note",) and not german.higher_is_better("Note")
    chinese = draft(性别=["男", "女"] * 60, 成绩=["优秀", "良好", "及格", "不及格"] * 30)
    assert chinese.recode["成绩"] == {"优秀": "4", "良好": "3", "及格": "2", "不及格": "1"}


def test_marks_from_1_to_6_run_against_points():
    points = RANDOM.normal(50, 10, 120).round()
    note = np.clip(np.rint(6 - (points - 20) / 12), 1, 6)
    assert draft(Zeugnisnote=note, sex=["F", "M"] * 60).lowest_best == ("Zeugnisnote",)
    assert draft(mark=note, test_score=points).lowest_best == ("mark",)
    assert Schema.infer(pd.DataFrame({"mark": note}), lowest_best=True).lowest_best == ("mark",)
    assert Schema.infer(pd.DataFrame({"Note": note}), lowest_best=False).lowest_best == ()


def test_words_that_mean_nothing_known_are_no_scores():
    with pytest.raises(ValueError, match="column 'mood': found no number in it, but 'red', 'green', 'blue'"):
        Schema.infer(pd.DataFrame({"mood": ["red", "green", "blue"] * 40}), ["mood"])
    with pytest.raises(UnclearScores, match="no column looks like a score"):
        draft(mood=["red", "green", "blue"] * 40, sex=["F", "M"] * 60)


def test_marks_in_words_alone_are_asked_for():
    table = pd.DataFrame({"Class": ["L", "M", "H", "M"] * 30, "visits": RANDOM.integers(0, 99, 120)})
    assert Schema.infer(table).certainty["Class"] == "ask"
    with pytest.raises(UnclearScores, match="'Class' may be one") as error:
        schema_for(table)
    assert error.value.maybe == ["Class"] and schema_for(table, scores=["Class"]).recode["Class"] == {"L": "1", "M": "2", "H": "3"}


def test_identifiers_and_groups_are_seen_by_their_values():
    schema = draft(lfd=range(1, 121), kennung=[f"x{i:05d}" for i in RANDOM.permutation(120)], schulnummer=RANDOM.integers(100, 130, 120),
                   schulgroesse=RANDOM.integers(100, 999, 120), gewicht=RANDOM.uniform(.5, 2, 120).round(3), punkte=MARKS)
    assert {"lfd", "kennung"} <= set(schema.left_out) and schema.cluster == "schulnummer" and schema.weight == "gewicht"
    assert schema.covariates == ("schulgroesse",)


def test_a_band_made_from_a_score_and_a_difference_of_scores_are_left_out():
    first = RANDOM.normal(60, 12, 300)
    second = first + RANDOM.normal(3, 6, 300)
    band = np.where(RANDOM.random(300) < .05, "C", np.select([second > 75, second > 60], ["A", "B"], "C"))
    schema = Schema.infer(pd.DataFrame({"math 1": first, "math 2": second, "gain": second - first, "GradeClass": band}), ["math 1", "math 2"])
    assert "follows from the scores" in schema.left_out["gain"] and "in 9" in schema.left_out["GradeClass"]


def test_students_with_several_rows_are_not_counted_as_students():
    table = pd.DataFrame({"pupil": np.repeat([f"P{i}" for i in range(50)], 3), "year": [1, 2, 3] * 50, "sex": np.repeat(["F", "M"] * 25, 3),
                          "math": RANDOM.integers(0, 101, 150)})
    schema = Schema.infer(table)
    assert (schema.people, schema.rows_per_student, schema.cluster) == ("results", 3, "pupil")
    assert "50 students, of whom some have several rows, up to 3" in schema.notes["pupil"]


def test_what_is_said_of_a_table_holds():
    table = pd.DataFrame({"form": ["a", "b"] * 60, "points": MARKS, "age": RANDOM.integers(12, 15, 120)})
    schema = Schema.infer(table, factors=["age"], left_out=["form"], limits=(0, 30), people="classes")
    assert schema.scores == {"points": (0, 30)} and list(schema.factors) == ["age"] and schema.people == "classes"
    assert schema.certainty["age"] == "sure" and "as you said" in schema.notes["age"]
    assert Schema.infer(table, limits={"points": (0, 25)}).scores == {"points": (0, 25)}


def test_a_draft_with_all_its_parts_survives_its_file(tmp_path):
    schema = Schema.infer(pd.DataFrame({"pupil": np.repeat([f"P{i}" for i in range(50)], 3), "sex": np.repeat(["F", "M"] * 25, 3),
                                        "Note": [1, 2, 3, 4, 5] * 30}))
    schema.to_toml(tmp_path / "school.toml")
    again = Schema.from_toml(tmp_path / "school.toml")
    assert again == schema and again.certainty == schema.certainty and again.lowest_best == ("Note",)
    assert "# scores whose lowest value is the best" in Path(tmp_path / "school.toml").read_text("utf-8")
