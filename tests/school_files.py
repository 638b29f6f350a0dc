"""Files as schools have them, made here: what is in them is known, and nobody in them is real."""
import gzip
import io
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyreadstat

COUNT = 24
NAMES = [f"Student {number}" for number in range(1, COUNT + 1)]
CLASSES = ["7a" if number % 3 else "7b" for number in range(COUNT)]
MATHS = [40 + 7 * number % 53 for number in range(COUNT)]
READING = [45 + 11 * number % 47 for number in range(COUNT)]
ROWS = [list(row) for row in zip(NAMES, CLASSES, MATHS, READING, strict=True)]
HEAD = ["Name", "Class", "Maths", "Reading"]
MEAN = sum(MATHS) / COUNT


@dataclass(frozen=True)
class SchoolFile:
    """A file, and what a person reads in it."""
    name: str
    content: bytes
    columns: list = field(default_factory=lambda: HEAD)
    rows: int = COUNT
    score: str = "Maths"
    mean: float = MEAN
    notes: tuple = ()  # patterns, one for each note
    first: int = 2  # the number of the first student's row
    limits: dict = field(default_factory=dict)
    sheet: object = None
    error: str = ""  # a pattern: the file is refused


def text(rows, head=HEAD, separator=",", before=(), after=(), end="\n", quote=False, encoding="utf-8"):
    """A text file; `before` and `after` are lines as they are."""
    def line(row):
        cells = ["" if cell is None else str(cell) for cell in row]
        return separator.join(f'"{cell}"' if quote or separator in cell else cell for cell in cells)
    lines = [*before, *([line(head)] if head else []), *map(line, rows), *after]
    return (end.join(lines) + end).encode(encoding)


def commas(rows=ROWS):
    """Numbers with decimal commas."""
    return [[name, group, f"{maths},5", f"{reading},0"] for name, group, maths, reading in rows]


def book(*sheets):
    """A workbook; each sheet is its name and its rows of cells."""
    import openpyxl

    made, written = openpyxl.Workbook(), io.BytesIO()
    made.remove(made.active)
    for name, rows in sheets:
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append(row)
    made.save(written)
    return written.getvalue()


def open_document(*sheets):
    """A spreadsheet of OpenDocument's form with the least that one needs."""
    def cell(value):
        if value is None:
            return "<table:table-cell/>"
        kind = f'office:value-type="float" office:value="{value}"' if isinstance(value, (int, float)) else 'office:value-type="string"'
        return f"<table:table-cell {kind}><text:p>{value}</text:p></table:table-cell>"
    tables = "".join(f'<table:table table:name="{name}">'
                     + "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows) + "</table:table>"
                     for name, rows in sheets)
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text"))
    content = f'<?xml version="1.0"?><office:document-content {spaces}><office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>'
    return zipped(("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", content.encode()),
                  ("META-INF/manifest.xml", b'<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'))


def zipped(*members):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return written.getvalue()


def statistics_file(write, frame, end, **options):
    """What pyreadstat writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{end}")
        write(frame, str(path), **options)
        return path.read_bytes()


def table(**columns):
    return pd.DataFrame(ROWS, columns=HEAD).assign(**columns)


def arrow(stream=False):
    written = io.BytesIO()
    rows = pa.Table.from_pandas(table(), preserve_index=False)
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(written, rows.schema) as writer:
        writer.write_table(rows)
    return written.getvalue()


def parquet():
    written = io.BytesIO()
    table().to_parquet(written)
    return written.getvalue()


def coded():
    """Codes as a survey has them: a label for each sex, one for the ends of a scale, two for no value."""
    return table(Sex=[1.0 + number % 2 for number in range(COUNT - 1)] + [9.0], Effort=[1.0 + number % 7 for number in range(COUNT - 1)] + [-8.0],
                 Maths=[*map(float, MATHS[:-2]), 998.0, 999.0])


def texts():
    yield "plain", SchoolFile("a.csv", text(ROWS))
    yield "semicolons, decimal commas, Latin-1, titles, an average", SchoolFile(
        "Klasse.csv", text([["Schülerin " + row[0][8:], *row[1:]] for row in commas()], separator=";", encoding="latin-1", before=["Klasse 7, Mathe, Frühjahr", ""],
                           after=["", "Durchschnitt;;60,2;66,1"], head=["Name", "Klasse", "Mathe", "Lesen"]),
        ["Name", "Klasse", "Mathe", "Lesen"], score="Mathe", mean=MEAN + .5, notes=("Windows-1252", "row 1: a title", r"row 29 \('Durchschnitt'\): a summary"), first=4)
    yield "tabs, UTF-16", SchoolFile("a.tsv", b"\xff\xfe" + text(ROWS, separator="\t", end="\r\n", encoding="utf-16-le"))
    yield "a first line that names the separator", SchoolFile("a.csv", text(commas(), separator=";", before=["sep=;"], end="\r\n"), mean=MEAN + .5)
    yield "every line quoted whole", SchoolFile("a.csv", text([[f'"{line}"'] for line in text(ROWS).decode().split("\n")[1:-1]], ['"Name,Class,Maths,Reading"'], separator="^"),
                                                notes=("each whole line was in one pair of quotes",))
    yield "some lines quoted whole", SchoolFile(
        "a.csv", "\n".join(f'"{line.replace("Student 5,", chr(34) * 2 + "Student, 5" + chr(34) * 2 + ",")}"' if "Student 5," in line else line
                           for line in text(ROWS).decode().split("\n")).encode(), notes=("row 6: the whole line was in one pair of quotes",))
    yield "bars", SchoolFile("a.txt", text(ROWS, separator="|"))
    yield "all quoted, carriage returns", SchoolFile("a.csv", text(ROWS, quote=True, end="\r"))
    yield "R's labels of rows", SchoolFile("a.tsv", text([[number, *row] for number, row in enumerate(ROWS, 1)], separator="\t"), ["column 1", *HEAD])
    yield "pandas' labels of rows", SchoolFile("a.csv", text([[number, *row] for number, row in enumerate(ROWS)], ["", *HEAD]), ["column 1", *HEAD])
    yield "packed", SchoolFile("a.csv.gz", gzip.compress(text(ROWS)))


def columns():
    yield "two commas too many", SchoolFile("a.csv", text(ROWS, after=[]).replace(b"\n", b",,\n"))
    yield "a column without heading", SchoolFile("a.csv", text([[*row[:2], "x", *row[2:]] for row in ROWS], [*HEAD[:2], "", *HEAD[2:]]),
                                                 ["Name", "Class", "column 3", "Maths", "Reading"], notes=("column 3: has no heading",))
    yield "a heading twice, the same values", SchoolFile("a.csv", text([[*row, row[2]] for row in ROWS], [*HEAD, "Maths"]), notes=("'Maths' appears twice .* the same values",))
    yield "a heading twice, different values", SchoolFile("a.csv", text([[*row, row[3]] for row in ROWS], [*HEAD, "Maths"]), [*HEAD, "Maths (2)"],
                                                          notes=(r"the second is called 'Maths \(2\)'",))
    yield "as Google Sheets writes it", SchoolFile("School list - 7.csv", text([[*row, "", ""] for row in [*ROWS[:9], [""] * 4, *ROWS[9:], *[[""] * 4] * 5]], [*HEAD, "", ""], end="\r\n"))


def heads():
    yield "maximum marks in words", SchoolFile("a.csv", text([["out of", "", 100, 100], *ROWS]), notes=("row 2: maximum marks",), first=3, limits={"Maths": (0, 100), "Reading": (0, 100)})
    yield "maximum marks with a stroke", SchoolFile("a.csv", text([["", "", "/100", "/120"], *ROWS]), notes=("row 2: maximum marks",), first=3,
                                                    limits={"Maths": (0, 100), "Reading": (0, 120)})
    yield "points possible", SchoolFile("gradebook.csv", text([["    Points Possible", "", 100, 100], *ROWS]), notes=("row 2: maximum marks",), first=3,
                                        limits={"Maths": (0, 100), "Reading": (0, 100)})
    yield "students called Max and Total", SchoolFile("a.csv", text([["Max", *ROWS[0][1:]], *ROWS[1:12], ["Total", *ROWS[12][1:]], *ROWS[13:]]))
    yield "three titles", SchoolFile("a.csv", text(ROWS, before=["School of Nowhere", "Results, class 7, spring", "printed 4 May", ""]), notes=("rows 1, 2, 3: titles",), first=6)
    two = [["Name", "Class", "Marks", None], [None, None, "Maths", "Reading"], *ROWS]
    yield "two rows of headings", SchoolFile("a.xlsx", book(("7", two)), ["Name", "Class", "Marks Maths", "Marks Reading"], score="Marks Maths", notes=("rows 1, 2: headings in two rows",), first=3)
    yield "a title and two rows of headings", SchoolFile("a.xlsx", book(("7", [["Class 7"], [], *two])), ["Name", "Class", "Marks Maths", "Marks Reading"], score="Marks Maths",
                                                         notes=("row 1: a title", "rows 3, 4: headings in two rows"), first=5)
    yield "headings on every page", SchoolFile("a.csv", text([*ROWS[:8], HEAD, *ROWS[8:16], HEAD, *ROWS[16:]]), notes=("rows 10, 19: the headings again",))


def feet():
    yield "mean, standard deviation and number below a blank row", SchoolFile("a.csv", text([*ROWS, [""] * 4, ["Mean", "", 60.1, 66], ["Std. dev.", "", 14.2, 13], ["n", "", 24, 24]]),
                                                                              notes=(r"rows 27, 28, 29 \('Mean', 'Std. dev.', 'n'\): summaries",))
    yield "a total, and nothing but scores", SchoolFile("a.csv", text([[row[0], *row[2:]] for row in ROWS] + [["Total", sum(MATHS), sum(READING)]], ["Name", "Maths", "Reading"]),
                                                        ["Name", "Maths", "Reading"], notes=(r"row 26 \('Total'\)",))
    yield "a last student called Total, and nothing but scores", SchoolFile("a.csv", text([[row[0], *row[2:]] for row in ROWS[:-1]] + [["Total", *ROWS[-1][2:]]], ["Name", "Maths", "Reading"]),
                                                                            ["Name", "Maths", "Reading"])
    yield "averages in Japanese", SchoolFile("a.csv", b"\xef\xbb\xbf" + text([*ROWS, ["平均", "", 60, 66], ["標準偏差", "", 14, 13]]), notes=(r"rows 26, 27 \('平均', '標準偏差'\)",))
    yield "a source and a legend", SchoolFile("a.csv", text(ROWS, after=["", "Source: the office", "* was ill on the day of the test"]), notes=("rows 27, 28 .*remarks",))
    yield "a last student without marks", SchoolFile("a.csv", text([*ROWS, ["Student 25", "", "", ""]]), rows=25)


def books():
    cover, summary = ("Cover", [["School of Nowhere"], ["Results of class 7"]]), ("Summary", [["Class", "Mean"], ["7a", 61.5], ["7b", 58.2]])
    several = (cover, summary, ("Results", [HEAD, *ROWS, ["Average", None, 60.1, 66.0]]), ("Other", [HEAD, *ROWS[:5]]))
    note = r"the workbook has 4 sheets: 'Cover' .*'Summary' \(2 rows\), 'Results' \(25 rows\), 'Other' \(5 rows\); read 'Results'"
    yield "a workbook of four sheets", SchoolFile("a.xlsx", book(*several), notes=(note, r"row 26 \('Average'\)"))
    yield "a workbook of four sheets, one named", SchoolFile("a.xlsx", book(*several), rows=5, mean=sum(MATHS[:5]) / 5, sheet="Other")
    yield "a workbook of four sheets, one by number", SchoolFile("a.xlsx", book(*several), rows=5, mean=sum(MATHS[:5]) / 5, sheet=4)
    yield "a workbook of four sheets, a wrong name", SchoolFile("a.xlsx", book(*several), sheet="7c", error="found no sheet '7c', expected one of 'Cover', 'Summary', 'Results', 'Other'")
    yield "an OpenDocument of two sheets", SchoolFile("a.ods", open_document(cover, ("Results", [HEAD, *ROWS])), notes=("the workbook has 2 sheets",))


def statistics():
    labels = {"Sex": {1.0: "female", 2.0: "male", 9.0: "No answer"}, "Effort": {-8.0: "Unit non-response", 1.0: "none", 7.0: "very much"}}
    columns = [*HEAD, "Sex", "Effort"]
    rest = {"mean": sum(MATHS[:-2]) / (COUNT - 2), "columns": columns}
    codes = (r"column 'Maths': 99[89]", r"column 'Sex': 9 \(No answer\) in 1 row; read as missing", r"column 'Effort': -8 \(Unit non-response\) in 1 row")
    yield "SPSS with labels and a range of missing codes", SchoolFile(
        "a.sav", statistics_file(pyreadstat.write_sav, coded(), ".sav", variable_value_labels=labels, missing_ranges={"Maths": [{"lo": 990, "hi": 999}]}), notes=codes, **rest)
    letters = coded().assign(Maths=[*map(float, MATHS[:-2]), "a", "b"]).astype({"Maths": object})
    yield "Stata with labels and .a, .b", SchoolFile(
        "a.dta", statistics_file(pyreadstat.write_dta, letters, ".dta", variable_value_labels=labels, missing_user_values={"Maths": ["a", "b"]}),
        notes=(r"column 'Maths': \.a in 1 row, \.b in 1 row", *codes[1:]), **rest)
    yield "SAS transport", SchoolFile("a.xpt", statistics_file(pyreadstat.write_xport, table(Maths=[float(mark) for mark in MATHS]), ".xpt"))
    yield "SPSS portable", SchoolFile("a.por", statistics_file(pyreadstat.write_por, table(), ".por"), [name.upper() for name in HEAD], score="MATHS")


def packed():
    yield "a .zip with one table", SchoolFile("a.zip", zipped(("export/Results.csv", text(ROWS)), ("__MACOSX/._Results.csv", b"x"), ("readme.md", b"# Results")))
    yield "a .zip with a workbook", SchoolFile("a.zip", zipped(("Results.xlsx", book(("7", [HEAD, *ROWS])))))
    several = zipped(("7a.csv", text(ROWS)), ("7b.csv", text(ROWS[:5])))
    yield "a .zip with two tables", SchoolFile("a.zip", several, error="the archive holds 2 tables: '7a.csv', '7b.csv'; name the one to read")
    yield "a .zip with two tables, one named", SchoolFile("a.zip", several, sheet="7a.csv")
    yield "a .zip without table", SchoolFile("a.zip", zipped(("photo.jpg", b"x")), error="the archive holds no table: found 'photo.jpg'")
    yield "Feather", SchoolFile("a.feather", arrow())
    yield "a stream of Arrow", SchoolFile("a.arrow", arrow(stream=True))
    yield "Parquet", SchoolFile("a.parquet", parquet())


def broken():
    huge = bytearray(zipped(("a.csv", text(ROWS))))
    huge[huge.index(b"PK\x01\x02") + 24:huge.index(b"PK\x01\x02") + 28] = (3_000_000_000).to_bytes(4, "little")
    yield "a .zip that says that it unpacks to 3 GB", SchoolFile("a.zip", bytes(huge), error="cannot be unpacked: it would unpack to more than 50 MB")
    secret = bytearray(zipped(("a.csv", text(ROWS))))
    secret[secret.index(b"PK\x01\x02") + 8] |= 1
    yield "a .zip with a password", SchoolFile("a.zip", bytes(secret), error="protected by a password")
    yield "half a .zip", SchoolFile("a.zip", zipped(("a.csv", text(ROWS)))[:100], error="cannot be read as a workbook|cannot be unpacked")
    yield "a .zip in a .zip", SchoolFile("a.zip", zipped(("a.csv", zipped(("b.csv", text(ROWS))))), error="a .zip archive cannot be read here")
    for end, start in ((".dta", b"<stata_dta><header><release>999</release>"), (".sav", b"$FL2@(#) SPSS"), (".sas7bdat", b"\0" * 12 + b"\xc2\xea\x81\x60\xb3\x14\x11\xcf"), (".dta", b"\x72\2\1\0")):
        yield f"hostile {end} {start[:6]}", SchoolFile(f"a{end}", start + bytes(range(256)) * 8, error=r"cannot be read as a file of (Stata|SPSS|SAS): .*save it as \.csv")
    for end, start in ((".feather", b"ARROW1\0\0"), (".arrow", b"\xff\xff\xff\xff")):
        yield f"hostile {end}", SchoolFile(f"a{end}", start + b"\7" * 500, error="cannot be read as Arrow")
    yield "a heading and no students but a mean", SchoolFile("a.csv", text([["Mean", "", 60, 66]]), rows=1, mean=60)
    yield "nothing but a title", SchoolFile("a.csv", b"Results of class 7\n", error="found the single column")


def school_files():
    """All of them by name."""
    return {name: file for group in (texts, columns, heads, feet, books, statistics, packed, broken) for name, file in group()}
