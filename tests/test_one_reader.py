"""About two hundred odd files, each sent through every door: the same rows, the same refusals, the same words everywhere."""
import datetime
import gzip
import io
import itertools
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from studperf import STUDENTS, Cohort, DataError, DataWarning, fit_predictor, load_students, report, simulate_students
from studperf.prediction import files
from studperf.cohort import summarizing
from studperf.dashboard.class_list import CLASS_LIST_LIMITS, predict_class, read_class_list
from studperf.dashboard.preparing import facts_of
from studperf.dashboard.predictor import PredictorWidget
from studperf.prediction.files import PREDICTED, predict_file
from studperf.rows.values import NO_VALUE_TEXTS

# ---- The files ----

HEADINGS = ["name", "gender", "lunch", "reading"]
ROWS = [["Zoë", "female", "standard", "72"], ["Kim", "male", "free/reduced", "64"], ["Ada", "female", "standard", "91"],
        ["Bo", "male", "standard", "55"]]
READ = [("female", "standard", 72), ("male", "free/reduced", 64), ("female", "standard", 91), ("male", "standard", 55)]
BOM = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


@dataclass(frozen=True)
class File:
    """A file, and what is to become of it: its rows, or words of the refusal."""
    content: bytes
    read: list | str = field(default_factory=lambda: READ)
    name: str = "a.csv"
    page: bool = True  # is it of a kind that the page reads?


def text(rows=ROWS, headings=HEADINGS, separator=",", end="\n", encoding="utf-8", quote=str, last=True):
    lines = [separator.join(map(quote, row)) for row in ([headings, *rows] if headings else rows)]
    return BOM.get(encoding, b"") + (end.join(lines) + end * last).encode(encoding)


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


def with_cells(column, cells, rows=ROWS):
    """The rows with other cells in a column, from the first row on."""
    place = HEADINGS.index(column)
    return [[*row[:place], cell, *row[place + 1:]] for row, cell in itertools.zip_longest(rows, cells, fillvalue=None)
            if row and cell is not None] + rows[len(cells):]


def replaced(column, values):
    place = HEADINGS.index(column) - 1
    return [(*row[:place], value, *row[place + 1:]) for row, value in zip(READ, values, strict=False)] + READ[len(values):]


def workbook(rows=ROWS, headings=HEADINGS, **options):
    written = io.BytesIO()
    pd.DataFrame(rows, columns=headings).to_excel(written, index=False, **options)
    return written.getvalue()


def dialects():
    for encoding, separator in itertools.product(["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"], ",;\t|"):
        for end in ("\n", "\r\n", "\r")[:3 if separator in ",;" else 1]:
            yield f"{encoding} {separator!r} {end!r}", File(text(separator=separator, end=end, encoding=encoding))
    yield "no last newline", File(text(last=False))
    yield "mixed line ends", File(text().replace(b"\n", b"\r\n", 2))
    yield "tabs, named .csv", File(text(separator="\t"))
    yield "commas, named .tsv", File(text(), name="a.tsv")
    yield "packed", File(gzip.compress(text()), name="a.csv.gz")
    yield "packed, not named so", File(gzip.compress(text()))
    yield "named .gz, not packed", File(text(), "cannot be unpacked", name="a.csv.gz")
    yield "packed, cut", File(gzip.compress(text() * 50)[:60], "cannot be unpacked", name="a.csv.gz")
    yield "another separator", File(text(separator="^"), "row 1: found the single column .*expected several separated by comma")
    yield "a number of semicolons in names", File(text([["Zoë; Ada; Eve", *row[1:]] for row in ROWS]))
    yield "UTF-16 cut in the middle", File(text(encoding="utf-16-le")[:-1], "it begins as UTF-16 text")
    yield "UTF-16 without mark", File(text(encoding="utf-16-le")[2:], "binary data")
    yield "UTF-32", File(text(encoding="utf-32"), "binary data")
    yield "a picture", File(b"\x89PNG\r\n\x1a\n\0\0\0", "binary data")
    yield "empty", File(b"", "the file is empty")
    yield "blank", File(b" \n\n\t\n", "the file is empty")
    yield "signs that count as blank", File("\n\x85,\x85".encode(), "the file is empty")
    yield "separators alone", File(b",,,\n,,,\n", "the file is empty")
    yield "headings alone", File(text([]), "headings but no rows")
    yield "headings and blank rows", File(text([["", " ", "", "\t"]]), "headings but no rows")
    yield "an unknown kind", File(text(), r"the name ends in '\.dat', expected one of \.csv", name="a.dat")
    yield "text named .xlsx", File(text(), name="a.xlsx")


def quotes():
    yield "all quoted", File(text(quote=quoted))
    yield "quotes in quotes", File(text([['Zoë "Z"', *row[1:]] for row in ROWS], quote=quoted))
    yield "separators in quotes", File(text([["Zoë, Ada", *row[1:]] for row in ROWS], quote=quoted))
    yield "lines in quotes", File(text([["Zoë\nAda", *row[1:]] for row in ROWS], quote=quoted))
    yield "a quote within a cell", File(text([['Zoë 5" tall', *row[1:]] for row in ROWS]))
    yield "text behind a quote", File(text([['"Zoë" B.', *row[1:]] for row in ROWS]))
    yield "whole lines quoted", File(text(quote=str).replace(b"\n", b'"\n"').join([b'"', b'"']))
    yield "a quote that is not closed", File(text(with_cells("name", ["Zoë", '"Kim'])), "row 3: the text is not a table.*a quotation mark that is not closed")
    yield "an enormous open quote", File(text(with_cells("name", ["Zoë", '"Kim'])) + b"x" * 200_000, "a quotation mark that is not closed")


def missing_texts():
    for missing in NO_VALUE_TEXTS:
        for told in dict.fromkeys([missing, missing.upper(), f" {missing} "]) if missing in ("na", "-", "unknown") else [missing]:
            yield f"missing {told!r} among levels", File(text(with_cells("gender", [told])), replaced("gender", [None]))
            yield f"missing {told!r} among numbers", File(text(with_cells("reading", [told])), replaced("reading", [None]))
    for word in ("none", "absent", "x", "#DIV/0!", "0"):
        yield f"{word!r} is no missing level", File(text(with_cells("gender", [word])), f"row 2, column 'gender': found '{re.escape(word)}', expected one of 'female', 'male'")
    for word in ("none", "absent", "x", "#DIV/0!", "--3"):
        yield f"{word!r} is no missing number", File(text(with_cells("reading", [word])), f"row 2, column 'reading': found '{re.escape(word)}', expected a number from 0 to 100; correct it")


def numbers():
    for cell, number in {" 72 ": 72, "72.0": 72, "72.50": 72.5, "72%": 72, "72.5 %": 72.5, "+72": 72, "7.2e1": 72, ".5": .5, "007": 7, "72\u00a0": 72, "\uff17\uff12": 72,
                         "\u2003": None, "-0": 0, "100": 100, "1e-400": 0}.items():
        yield f"number {cell!r}", File(text(with_cells("reading", [cell])), replaced("reading", [number]))
    for cell in ("7_2", "0x10", "inf", "-inf", "1e999", "101", "-1", "7 2", "72.5.1", "72a", "1,2,3", "72,5.1", "'72", "TRUE"):
        yield f"no number {cell!r}", File(text(with_cells("reading", [cell]), separator=";"), f"row 2, column 'reading': found {re.escape(repr(cell))}, expected a number")
    for cells, read in {("72,5", "64,25"): [72.5, 64.25], ("72,5", "64"): [72.5, 64], (" 72,5% ", ",5"): [72.5, .5], ("72,125", "64,5"): [72.125, 64.5],
                        ("72,5", "NA"): [72.5, None]}.items():
        yield f"decimal commas {cells}", File(text(with_cells("reading", cells), separator=";"), replaced("reading", read))
        yield f"decimal commas {cells}, quoted", File(text(with_cells("reading", cells), quote=quoted), replaced("reading", read))
    for cells, rows, why in [(("72,5", "64.5"), "row 2", "decimal points, too"), (("72,500",), "row 2", "may separate thousands"), (("1,250", "64,250"), "row 3", "thousands"),
                             (("72,5", "1,234,567"), "row 2", "thousands")]:
        yield f"unclear commas {cells}", File(text(with_cells("reading", cells), separator=";"), f"{rows}, column 'reading': found .*{why}.*write the decimal comma as a point")
    yield "several faults in a row", File(text([["Zoë", "fmale", "half", "720"], *ROWS]), "row 2, column 'gender'(.|\n)*row 2, column 'lunch'(.|\n)*row 2, column 'reading'")
    yield "the same fault in several rows", File(text(with_cells("reading", ["720", "720", "720"])), "rows 2, 3, 4, column 'reading': found '720'")


def levels():
    for cell in ("FEMALE", "Female", " female", "female\u00a0", "f e m a l e", "fe_male", "female'"):
        yield f"level {cell!r}", File(text(with_cells("gender", [cell])))
    for cell in ("Free/Reduced", "free / reduced", "FREE/REDUCED", "free_/_reduced"):
        yield f"level {cell!r}", File(text(with_cells("lunch", ["standard", cell])))
    for cell in ("fem", "femal", "woman", "f", "1", "2.0", "female.", "female+", "females", "=female", "x" * 300):
        yield f"no level {cell!r:.30}", File(text(with_cells("gender", [cell])), f"row 2, column 'gender': found {re.escape(repr(cell[:60]))}.*, expected one of 'female', 'male'")
    for cell in ("free", "reduced", "free-reduced", "freereduced", "0"):
        yield f"no level {cell!r}", File(text(with_cells("lunch", [cell])), f"row 2, column 'lunch': found '{cell}', expected one of 'free/reduced', 'standard'")


def headings():
    for names in (["name", "sex", "lunch", "reading score"], ["", "Gender", "LunchType", "ReadingScr"], ["#", "GENDER", "Lunch", "Reading.Score"],
                  ["id", " gender ", "lunch_type", "READING"], ["Unnamed: 0", "gender", "lunch", "readingScore"], ["x" * 300, "gender", "lunch", "reading"],
                  ["7", "gender", "lunch", "reading"], ["gen der", "Sex", "lunch", "reading\n"]):
        if names[0] == "gen der":
            yield "two that could be gender", File(text(headings=names, quote=quoted), "columns 'gen der', 'Sex' could each be 'gender': rename or remove all but one")
        else:
            yield f"headings {names!r:.60}", File(text(headings=names))
    yield "gender twice", File(text(headings=["gender", "gender", "lunch", "reading"]), r"column 'gender' appears 2 times \(columns 1, 2\): keep one")
    yield "gender missing", File(text(headings=["name", "who", "lunch", "reading"]), r"column 'gender': not found, expected a factor of this name \(also known as 'sex'\)")
    yield "gender missing, and a fault", File(text(with_cells("reading", ["720"]), headings=["name", "who", "lunch", "reading"]), "column 'gender': not found(.|\n)*row 2, column 'reading'")
    yield "no headings", File(text(headings=None), "column 'gender': not found(.|\n)*column 'lunch': not found(.|\n)*column 'reading': not found")
    yield "blank lines before", File(b"\n\r\n,,,\n" + text())
    yield "a blank line before, and a fault", File(b"\n\n" + text(with_cells("reading", ["720"])), "row 4, column 'reading': found '720'")


def blank_rows():
    yield "blank lines between", File(text([ROWS[0], [""], [""], *ROWS[1:]]))
    yield "blank lines behind", File(text() + b"\n\n\n")
    yield "rows of separators", File(text([ROWS[0], [""] * 4, *ROWS[1:], [""] * 4]))
    yield "rows of spaces", File(text([ROWS[0], [" ", "\t", "", "\u00a0"], *ROWS[1:], ["   "]]))
    yield "rows of separators, too wide", File(text([ROWS[0], [""] * 9, *ROWS[1:]]))
    yield "separators at the end of rows", File(text([[*row, "", ""] for row in ROWS]))
    yield "separators at the end of some rows", File(text([[*ROWS[0], ""], *ROWS[1:]]))
    yield "separators at the end of all lines", File(text([[*row, ""] for row in ROWS], headings=[*HEADINGS, ""]))
    yield "a fault below blank lines", File(text([ROWS[0], [""], [" "], *with_cells("gender", ["", "who"])[1:]]), "row 5, column 'gender': found 'who'")
    yield "a field too few", File(text([ROWS[0], ROWS[1][:3], *ROWS[2:]]), "row 3: found 3 fields, expected 4 like the headings")
    yield "a field too many", File(text([ROWS[0], [*ROWS[1], "9"], *ROWS[2:]]), "row 3: found 5 fields, expected 4 like the headings")
    yield "both, and a fault", File(text([ROWS[0][:2], [*ROWS[1], "9"], *with_cells("gender", ["", "", "who"])[2:]]), "row 2: found 2(.|\n)*row 3: found 5(.|\n)*row 4, column 'gender': found 'who'")
    yield "a decimal comma in a table with commas", File(text(with_cells("reading", ["72,5"])), "row 2: found 5 fields, expected 4")


def typed(column, values):
    """The rows with other cells in a column, scores as numbers."""
    return [[*row[:-1], int(row[-1]) if row[-1] in {row[-1] for row in ROWS} else row[-1]] for row in with_cells(column, values)]


def workbooks():
    whole = [[*row[:-1], int(row[-1])] for row in ROWS]
    yield "workbook of texts", File(workbook(), name="a.xlsx")
    yield "workbook of numbers", File(workbook(whole), name="a.xlsx")
    yield "workbook, named .csv", File(workbook(whole))
    yield "workbook with decimals", File(workbook(typed("reading", [72.5, 64.25])), replaced("reading", [72.5, 64.25]), name="a.xlsx")
    yield "workbook with decimal commas as texts", File(workbook(typed("reading", ["72,5", 64, "91,5", 55])), replaced("reading", [72.5, 64, 91.5]), name="a.xlsx")
    yield "workbook with empty cells", File(workbook(typed("reading", [float("nan"), 64])), replaced("reading", [None]), name="a.xlsx")
    yield "workbook with missing texts", File(workbook(typed("gender", ["-", "unknown"])), replaced("gender", [None, None]), name="a.xlsx")
    yield "workbook with other spellings", File(workbook(typed("gender", ["FEMALE", "Male "])), name="a.xlsx")
    yield "workbook with codes", File(workbook(typed("gender", [1, 2.0])), "row 2, column 'gender': found 1, expected one of 'female', 'male'; replace each code", name="a.xlsx")
    yield "workbook with truth values", File(workbook(typed("reading", [True, 64, 1])), "row 2, column 'reading': found True, expected a number", name="a.xlsx")
    yield "workbook with dates", File(workbook(typed("reading", [datetime.date(2026, 5, 4), 64])), "row 2, column 'reading': found datetime.date.*, expected a number", name="a.xlsx")
    yield "workbook with a number too large", File(workbook(typed("reading", [720, 64])), "row 2, column 'reading': found 720, expected a number from 0 to 100", name="a.xlsx")
    yield "workbook with blank rows", File(workbook([*whole[:1], [None] * 4, *whole[1:]]), name="a.xlsx")
    yield "workbook that begins below and at the right", File(workbook(whole, startrow=2, startcol=1), name="a.xlsx")
    yield "workbook that begins below, with a fault", File(workbook(typed("reading", [720, 64]), startrow=3), "row 5, column 'reading': found 720", name="a.xlsx")
    yield "workbook without rows", File(workbook([]), "headings but no rows", name="a.xlsx")
    yield "workbook without cells", File(workbook([], headings=[]), "the first sheet is empty", name="a.xlsx")
    yield "workbook, cut", File(workbook()[:2000], "cannot be read as a workbook", name="a.xlsx")
    yield "binary data named .xlsx", File(b"\0\1\2\3" * 100, "cannot be read as a workbook", name="a.xlsx")


def parquet(frame):
    written = io.BytesIO()
    frame.to_parquet(written)
    return written.getvalue()


def parquets():
    frame = pd.DataFrame(ROWS, columns=HEADINGS)
    yield "Parquet of texts", File(parquet(frame), name="a.parquet", page=False)
    yield "Parquet of numbers", File(parquet(frame.astype({"reading": float})), name="a.parquet", page=False)
    yield "Parquet with other spellings", File(parquet(frame.assign(gender=["FEMALE", "Male", "female", "male"])), name="a.parquet", page=False)
    yield "Parquet with decimal commas", File(parquet(frame.assign(reading=["72,5", "64", "91,5", "55"])), replaced("reading", [72.5, 64, 91.5]), name="a.parquet", page=False)
    yield "Parquet with faults", File(parquet(frame.assign(reading=["720", "64", "x", "55"])), "row 2, column 'reading': found '720'(.|\n)*row 4, column 'reading': found 'x'", name="a.parquet", page=False)
    yield "Parquet, cut", File(b"PAR1" + b"x" * 100, "cannot be read as Parquet", name="a.parquet", page=False)


FILES = dict(itertools.chain(dialects(), quotes(), missing_texts(), numbers(), levels(), headings(), blank_rows(), workbooks(), parquets()))

# ---- The doors ----


@pytest.fixture(scope="module")
def predictor():
    """It needs gender, lunch and the reading score."""
    return fit_predictor(simulate_students(400, seed=5), "math", inputs=["gender", "lunch", "reading"], model="least squares",
                         schema=STUDENTS.only(["gender", "lunch", "math", "reading"]))


@pytest.fixture(scope="module")
def page(predictor):
    return PredictorWidget(facts_of(predictor))


@dataclass
class Answer:
    """What came of a file at a door."""
    rows: object = None
    problems: list | None = None
    notes: list = field(default_factory=list)


def notes_of(caught):
    """What warnings say of how a file was read."""
    lines = [line.removeprefix("  - ") for warning in caught if issubclass(warning.category, DataWarning) for line in str(warning.message).splitlines()[1:]]
    return sorted(line for line in lines if "missing" not in line and not line.startswith("ignored"))


def asked(door, *arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            rows = door(*arguments, **options)
        except DataError as error:
            return Answer(problems=error.problems)
    return Answer(rows, notes=notes_of(caught))


def predicted(predictor, path, out):
    count = predict_file(predictor, path, out, progress=False)
    found = pd.read_parquet(out)[list(PREDICTED)].to_numpy(float)
    assert count == len(found)
    return found


def fast(monkeypatch):
    """Small files, too, take the fast path."""
    monkeypatch.setattr(summarizing, "SMALL_FILE", 0)
    monkeypatch.setattr(files, "SMALL_FILE", 0)


def regrouped(problems):
    """Faults by row, as the loader groups them."""
    groups, ragged = defaultdict(list), []
    for row, words in problems:
        for one in re.split(r"; (?=column )", words):
            if one.startswith("column"):
                groups[one].append(row)
            else:
                ragged.append(f"row {row}: {one}")
    return ragged + [f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:5]))}{f' and {len(rows) - 5} more' * (len(rows) > 5)}, {words}" for words, rows in groups.items()]


LACKS = "missing; no prediction where an input is missing"


@pytest.mark.parametrize("name", FILES)
def test_every_door_reads_it_alike(name, predictor, page, tmp_path, monkeypatch):
    file, path, schema = FILES[name], tmp_path / FILES[name].name, predictor.schema.only(predictor.inputs)
    path.write_bytes(file.content)
    loaded = asked(load_students, path, schema=schema)
    if isinstance(file.read, str):
        assert loaded.problems, "it is refused"
        assert re.search(file.read, "\n".join(loaded.problems))
    else:
        assert loaded.problems is None
        assert [tuple(None if pd.isna(value) else value for value in row) for row in loaded.rows.astype(object).itertuples(index=False)] == file.read
    expected = expected_of(predictor, loaded.rows)
    cohort = None if loaded.problems else Cohort.summarize(loaded.rows, schema, counts=False)
    for _ in range(2):  # once loaded, once by the fast path
        summed = asked(Cohort.summarize, path, schema, counts=False)
        scored = asked(predicted, predictor, path, tmp_path / "out.parquet")
        assert summed.problems == scored.problems == loaded.problems
        if loaded.problems is None:
            assert summed.rows == cohort
            assert scored.notes == loaded.notes
            np.testing.assert_allclose(scored.rows, expected, rtol=0, atol=1e-9)
        fast(monkeypatch)
    if loaded.problems:
        assert asked(report, path, tmp_path / "report.html", schema=schema).problems == loaded.problems
    if file.page:
        same_on_the_page(asked(read_class_list, file.content, page.facts, name=file.name), page, loaded, expected)


def expected_of(predictor, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return None if rows is None else predictor.predict(rows).to_numpy(float)


def same_on_the_page(table, page, loaded, expected):
    """The page predicts for the rows without a fault; what it refuses, the loader refuses in the same words."""
    found = table if table.problems else asked(predict_class, page.facts, table.rows, "math")
    if found.problems:  # a whole file
        whole = [problem for problem in loaded.problems if not re.match(r"rows? \d+(, \d+)*( and \d+ more)?, column|row \d+: found \d", problem)]
        assert found.problems == whole
        return
    faults = [(row, words) for row, words in found.rows.problems if LACKS not in words]
    assert sorted(regrouped(faults)) == sorted(loaded.problems or [])
    if loaded.problems is None:
        assert sorted(found.rows.notes) == loaded.notes
        given = np.array([prediction[:3] if prediction else (np.nan,) * 3 for prediction in found.rows.predictions])
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-9)


def test_there_are_two_hundred_of_them():
    assert len(FILES) >= 200
    refused = sum(isinstance(file.read, str) for file in FILES.values())
    assert 60 < refused < len(FILES) - 60


def test_a_good_file_is_reported(tmp_path):
    rows = simulate_students(200, seed=1)
    rows.assign(gender=rows["gender"].str.upper(), math=rows["math"].add(.5).clip(0, 100).map("{:.1f}".format).str.replace(".", ",")).to_csv(tmp_path / "a.csv", sep=";", index=False)
    assert "200 students" in report(tmp_path / "a.csv", tmp_path / "a.html").read_text()


def test_a_large_text_is_split_by_another_engine_with_the_same_result(tmp_path, monkeypatch):
    """Arrow splits what is larger than a megabyte."""
    from studperf.rows import reading

    schema = STUDENTS.only(["gender", "lunch", "reading"])
    for name, file in FILES.items():
        if file.name.endswith((".csv", ".tsv")) and len(file.content) < 100_000:
            answers = []
            for bound in (10**9, 0):
                monkeypatch.setattr(reading, "LARGE_TEXT", bound)
                (tmp_path / file.name).write_bytes(file.content)
                answers.append(asked(load_students, tmp_path / file.name, schema=schema))
            first, second = answers
            assert (first.problems, first.notes) == (second.problems, second.notes), name
            assert first.rows is None or first.rows.equals(second.rows), name


def test_the_page_has_its_own_limits_and_words_for_what_is_beyond(page):
    for content, words in ((b"a" * 6_000_000, "the file has 6.0 MB, at most 5 MB can be read"), (text(ROWS * 2501), "more than 10,000 rows; split it"),
                           (b",".join([b"a"] * 300) + b"\n1,2\n", "the file has 300 columns, at most 200"), (parquet(pd.DataFrame(ROWS, columns=HEADINGS)), "a Parquet file cannot be read here"),
                           (b"\xd0\xcf\x11\xe0" + b"\0" * 600, r"of the old form \(.xls\) cannot be read here"), (gzip.compress(b"a,b\n" + b"1,2\n" * 20_000_000), "would unpack to more than 50 MB")):
        with pytest.raises(DataError, match=words):
            read_class_list(content, page.facts)
    assert CLASS_LIST_LIMITS.bytes == 5_000_000
