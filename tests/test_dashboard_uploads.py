"""Ten thousand files that are no class lists, or nearly so: none crashes, none hangs, none gives a number without saying what it rests on."""
import csv
import io
import math
import random
import time
import zipfile

import hypothesis.strategies as st
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from studperf.dashboard.class_list import class_html, csv_of, places_of, predict_class, read_class_list, template_of
from studperf.dashboard.facts import Facts
from studperf.dashboard.predictor import PredictorWidget
from studperf.rows.values import spelling

FILES, FORMS, SECONDS = 10_000, 10, 5  # each file's time, on a machine with much else to do
CELLS = ["female", "male", "FEMALE", "group A", "group Z", "some college", "master's degree", "standard", "free/reduced", "none", "completed", "", "NA", "nan", "-",
         "71", "71.5", "71,5", "1e3", "1e999", "-1", "101", "0x1F", "inf", "١٢", "7 1", "=1+1", "+cmd|' /C calc'!A0", "@SUM(A1)", "<script>alert(1)</script>", "<img src=x onerror=y>",
         "\u202egnp.exe", "\0", '"', '""', "a\nb", "x" * 5000, "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "é", "\x85", "\u2028"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "latin-1", "shift_jis", "koi8-r"]


@pytest.fixture(scope="module")
def predictor(prepared):
    return PredictorWidget(Facts.read(prepared))


def quoted(cell):
    return '"' + cell.replace('"', '""') + '"'


def plain(cell):
    return cell


def when_needed(cell):
    return quoted(cell) if any(character in cell for character in ',;\t|"\n\r') else cell


def tables(facts):
    """Rows of cells: under the right names and mostly right, or under other names and of anything."""
    columns = [*facts.factors, *facts.numbers, "name"]
    right = [*map(list, facts.factors.values()), *[["71", "64,5", ""]] * len(facts.numbers), ["Kim"]]
    cell = st.sampled_from(CELLS) | st.text(max_size=12)
    names = st.lists(st.sampled_from([*columns, "Gender", "race/ethnicity", "", "math score"]) | st.text(max_size=8), max_size=12)
    rows = st.lists(st.tuples(*map(st.sampled_from, right)).map(list), min_size=1, max_size=4)
    spoilt = st.builds(lambda rows, at, cell: [[*row[:at], cell, *row[at + 1:]] if place else row for place, row in enumerate(rows)], rows, st.integers(0, len(columns)), cell)
    return st.tuples(st.just(columns), rows | spoilt).map(lambda both: [both[0], *both[1]]) | st.builds(
        lambda head, rows: [head, *rows], names, st.lists(st.lists(cell, max_size=13), max_size=5))


def forms(rows, seed, junk):
    """A table as ten files: written well or badly, some of them damaged by junk."""
    chance = random.Random(seed)
    for place in range(FORMS):
        separator, quote, encoding, end = map(chance.choice, (",;\t|", (when_needed, when_needed, quoted, plain), ENCODINGS, ("\n", "\r\n", "\r")))
        content = end.join(separator.join(map(quote, row)) for row in rows).encode(encoding, "replace")
        at = chance.randrange(len(content) + 1)
        yield content[:at] + junk + content[at + len(junk) * chance.randint(0, 1):] if place % 3 == 2 else content


def check(content, predictor, target="math"):
    """What a page would do with a file; whether it gave predictions."""
    begun = time.perf_counter()
    try:
        table = read_class_list(content)
        found = predict_class(predictor.facts, table, target)
    except ValueError as error:
        assert 10 < len(str(error)) < 2000
        return False
    finally:
        assert time.perf_counter() - begun < SECONDS
    told, places = dict(found.problems), places_of(table.columns, predictor.facts, target)
    assert len(found.predictions) == len(table.rows)
    for number, row, prediction in zip(table.numbers, table.rows, found.predictions, strict=True):
        assert (prediction is None) == (number in told)
        if prediction is not None:
            row = [str(cell).strip() for cell in row]
            levels = {name: row[places[name]] for name in predictor.facts.factors}
            for name, cell in levels.items():  # as it is written, or told to be read so
                assert cell in predictor.facts.factors[name] or any(repr(cell) in note for note in found.notes) or len(found.notes) >= 5
            known = {name for name in predictor.facts.others(target) if name in places and row[places[name]].lstrip("+-.")[:1].isdigit()}
            meant = {name: next(level for level in predictor.facts.factors[name] if spelling(level) == spelling(cell)) for name, cell in levels.items()}
            answer = predictor.predict(target, meant, {name: float(row[places[name]].replace(",", ".").removesuffix("%")) for name in known})
            assert prediction[:3] == (answer.prediction, answer.low, answer.high)
            assert all(map(math.isfinite, prediction))
    given_back = list(csv.reader(io.StringIO(csv_of(found), newline="")))
    assert len(given_back) == len(table.rows) + 1
    assert not [cell for row in given_back for cell in row if cell[:1] in tuple("=+-@\t\r|%") and cell and not cell.lstrip("+-").replace(",", ".").replace(".", "", 1).isdigit()]
    shown = class_html(found, predictor.facts).casefold()
    assert "<script" not in shown
    assert "<img" not in shown
    return True


def test_ten_thousand_malformed_files(predictor):
    """Hypothesis makes them, and tells the smallest that fails."""
    seen = []

    @settings(max_examples=FILES // FORMS, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(rows=tables(predictor.facts), seed=st.integers(0, 2**32), junk=st.binary(min_size=1, max_size=40))
    def ten(rows, seed, junk):
        for content in (*forms(rows, seed, junk), junk):
            seen.append(check(content, predictor))

    begun = time.process_time()
    ten()
    print(f"{len(seen):,} files, {sum(seen):,} with rows, {time.process_time() - begun:.0f} s of a processor")
    assert len(seen) >= FILES * .9, "it did try"
    assert sum(seen) > FILES * .02, "some could be read"


def workbook(predictor):
    """The template as an Excel file."""
    written = io.BytesIO()
    pd.read_csv(io.StringIO(template_of(predictor.facts, "math"))).to_excel(written, index=False)
    return written.getvalue()


def test_damaged_workbooks(predictor):
    content, chance = workbook(predictor), random.Random(0)
    assert check(content, predictor)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 30)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        check(bytes(damaged[:chance.choice([None, chance.randrange(len(damaged))])]), predictor)


def zipped(*members):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return written.getvalue()


def test_bombs_are_not_unpacked(predictor):
    bomb = zipped(("xl/worksheets/sheet1.xml", b"0" * 200_000_000))
    nested = zipped(*((f"{number}.xlsx", bomb) for number in range(5)))
    lying = bomb.replace((200_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))  # says that it unpacks to 100 bytes
    many = zipped(*((f"xl/{number}.xml", b"") for number in range(20_000)))
    for content in (bomb, nested, lying, many):
        with pytest.raises(ValueError, match="cannot be read|no rows|at most 5 MB"):
            read_class_list(content)
        assert not check(content, predictor)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\n" * 100_000, b"," * 100_000, b"\"" * 100_001, b"PK\x03\x04", b"PK\x03\x04" + b"\0" * 1000,
                                     b"a" * 4_999_999, b"a,b\n" + b"x," * 2_000_000, (b"1" * 100 + b",") * 40_000], ids=lambda content: f"{content[:6]}x{len(content)}")
def test_empty_and_monstrous_files(predictor, content):
    assert not check(content, predictor)


def test_a_file_of_two_hundred_megabytes(predictor):
    with pytest.raises(ValueError, match="the file has 200.0 MB, at most 5 MB can be read"):
        read_class_list(bytes(200_000_000))
