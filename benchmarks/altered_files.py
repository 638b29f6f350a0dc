"""Does every reader of files survive altered ones, each with at most 300 MB and 5 seconds?

    python benchmarks/altered_files.py              200 files for each reader, some minutes: prints
    python benchmarks/altered_files.py --full       10,000 files for each reader, an hour or two: writes results/altered_files.csv
    python benchmarks/altered_files.py --reader Parquet --files 1000

Valid files of every kind are made, and real ones taken from the folders that --also names and from the test data of
installed libraries. Each is altered by its structure: cut off, bits turned, parts moved, lengths forged, members of archives altered and
packed again with right checksums, values of JSON replaced by those of another type and signed again. A copy of this process,
limited as the command and the page limit theirs, reads each file.

`read` and `refused` are the two right ends. `limited` are files that the limit of memory or of time ended, `broken_off` those with
which a library crashed; the command and the page say of both in one line what was refused. `other` must be 0: an error
that is no sentence for the person who chose the file.
"""
import argparse
import copy
import gzip
import hashlib
import io
import json
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
import zipfile
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import tomli_w

from studperf import Cohort, load_students, simulate_students
from studperf.limited_jobs import confine, reading_limits

TABLE = Path(__file__).parent / "results" / "altered_files.csv"
SHARED = Path(os.environ.get("STUDPERF_SHARED", Path(__file__).resolve().parents[2] / "shared"))
XLS = Path(__file__).resolve().parents[1] / "tests" / "files" / "marks.xls"
os.environ["RUST_BACKTRACE"] = "0"  # a copy of a process could wait for ever for the lock of what prints it
BATCH, PATIENCE, LARGEST = 25, 60, 200_000
MEMORY_ERRORS = {signal.SIGABRT, signal.SIGKILL, signal.SIGXCPU}


# Valid files

def packed(members):
    """The members as a .zip file."""
    content = io.BytesIO()
    warnings.filterwarnings("ignore", "Duplicate name")
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in members.items():
            archive.writestr(name, part)
    return content.getvalue()


def unpacked(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def xlsx(frame):
    content = io.BytesIO()
    frame.to_excel(content, index=False)
    return content.getvalue()


def ods(frame):
    def cell(value):
        kind = f'office:value-type="float" office:value="{value}"' if isinstance(value, (int, float, np.number)) else 'office:value-type="string"'
        return f"<table:table-cell {kind}><text:p>{value}</text:p></table:table-cell>"
    rows = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in [list(frame), *frame.itertuples(index=False)])
    spaces = " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text"))
    manifest = '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>'
    return packed({"mimetype": "application/vnd.oasis.opendocument.spreadsheet", "META-INF/manifest.xml": manifest, "content.xml":
                   f'<?xml version="1.0"?><office:document-content {spaces}><office:body><office:spreadsheet><table:table table:name="7b">{rows}'
                   "</table:table></office:spreadsheet></office:body></office:document-content>"})


def xlsb(frame):
    """The smallest workbook in the binary form of Excel."""
    def record(kind, content=b""):
        name = bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])
        size = bytes([len(content)]) if len(content) < 128 else bytes([len(content) & 127 | 128, len(content) >> 7])
        return name + size + content

    def text(value):
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    def cell(place, value):
        at = struct.pack("<II", place, 0)
        return record(5, at + struct.pack("<d", value)) if isinstance(value, (int, float, np.number)) else record(6, at + text(str(value)))
    rows = [list(frame), *frame.itertuples(index=False)]
    cells = b"".join(record(0, struct.pack("<IIHHBI", number, 0, 0, 0, 0, 0)) + b"".join(map(cell, range(len(row)), row)) for number, row in enumerate(rows))
    sheet = record(129) + record(148, struct.pack("<IIII", 0, len(rows) - 1, 0, len(rows[0]) - 1)) + record(145) + cells + record(146) + record(130)
    book = record(131) + record(143) + record(156, struct.pack("<II", 0, 1) + text("rId1") + text("7b")) + record(144) + record(132)
    start = "http://schemas.openxmlformats.org/"
    types = (f'<?xml version="1.0"?><Types xmlns="{start}package/2006/content-types"><Default Extension="bin" ContentType="application/vnd.ms-excel.sheet.binary.'
             'macroEnabled.main"/><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/></Types>')

    def leads(kind, target):
        return (f'<?xml version="1.0"?><Relationships xmlns="{start}package/2006/relationships"><Relationship Id="rId1" '
                f'Type="{start}officeDocument/2006/relationships/{kind}" Target="{target}"/></Relationships>')
    return packed({"[Content_Types].xml": types, "_rels/.rels": leads("officeDocument", "xl/workbook.bin"), "xl/workbook.bin": book,
                   "xl/_rels/workbook.bin.rels": leads("worksheet", "worksheets/sheet1.bin"), "xl/worksheets/sheet1.bin": sheet})


def by_pyreadstat(frame, end):
    import pyreadstat

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a.{end}")
        labels = {"lunch": {1: "standard", 2: "free"}}
        coded = frame.assign(lunch=(frame["lunch"] == "standard") + 1)
        if end in ("xpt", "por"):
            {"xpt": pyreadstat.write_xport, "por": pyreadstat.write_por}[end](frame.set_axis([f"v{place}" for place in range(frame.shape[1])], axis=1), str(path))
        elif end == "dta":
            pyreadstat.write_dta(coded, str(path), variable_value_labels=labels)
        else:
            pyreadstat.write_sav(coded, str(path), variable_value_labels=labels, compress=end == "zsav")
        return path.read_bytes()


def arrow(frame, form):
    content = io.BytesIO()
    table = pa.Table.from_pandas(frame.astype({"gender": "category"}))
    if form == "feather":
        pa.feather.write_feather(table, content)
    else:
        with pa.ipc.new_stream(content, table.schema) as stream:
            stream.write_table(table)
    return content.getvalue()


def parquet(frame, **options):
    content = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pandas(frame), content, **options)
    return content.getvalue()


def text(frame, separator=","):
    return frame.to_csv(index=False, sep=separator).encode()


def plain_frame(rows=60):
    frame = simulate_students(rows, seed=3)
    return frame.astype({name: str for name in frame.select_dtypes("category")})


def real_files(also, *ends):
    """Real files of others: their names and contents."""
    package = Path(pa.__file__).parent / "tests" / "data"
    found = [path for folder in (*also, package) for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name.endswith(ends)]
    return [(path.name, path.read_bytes()) for path in found if path.stat().st_size <= LARGEST]


# Alterations

EXTREMES = [struct.pack(kind, value) for kind, values in {
    "<I": (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 10**6), ">I": (2**31 - 1, 2**32 - 1, 10**6), "<Q": (2**63 - 1, 2**64 - 1, 10**12, 2**40), "<H": (2**16 - 1, 0),
    "<d": (float("nan"), float("inf"), 1e308, -1e308)}.items() for value in values]
NUMBERS = [b"0", b"-1", b"1e999", b"999999999999", b"1048576", b"4294967296", b"", b"NaN", b"&", b"<", b"'"]


def altered_bytes(content, chance, others=(b"",)):
    """A file altered without knowing what it is."""
    content, kind = bytearray(content), chance.randrange(8)
    at = chance.randrange(len(content) + 1) if chance.random() < .6 else chance.randrange(min(len(content), 400) + 1)
    if kind == 0:
        return bytes(content[:at])
    if kind == 1:
        for _ in range(chance.choice((1, 1, 2, 8, 40))):
            place = chance.randrange(max(len(content), 1))
            if place < len(content):
                content[place] ^= 1 << chance.randrange(8)
    elif kind == 2:
        other = chance.choice(others)
        from_ = chance.randrange(len(other) + 1)
        content[at:at] = other[from_:from_ + chance.choice((1, 16, 500, 10_000))]
    elif kind in (3, 4):
        forged = chance.choice(EXTREMES)
        content[at:at + len(forged)] = forged
    elif kind == 5:
        end = at + chance.choice((1, 4, 64, 1000))
        content[at:at] = bytes(content[at:end]) * chance.choice((1, 2, 300))
    elif kind == 6:
        del content[at:at + chance.choice((1, 4, 64, 1000))]
    else:
        end = at + chance.choice((4, 64, 1000))
        content[at:end] = chance.choice((b"\0", b"\xff", b'"')) * (end - at)
    return bytes(content)


def altered_text(content, chance, others=(b"",)):
    """A text in which a number, a name or a mark is another, or else altered bytes."""
    if chance.random() < .4:
        return altered_bytes(content, chance, others)
    content = bytearray(content)
    places = [place for place in range(0, len(content)) if 48 <= content[place] <= 57] if chance.random() < .7 else list(range(len(content)))
    for _ in range(chance.choice((1, 1, 3, 20))):
        if places:
            at = chance.choice(places)
            content[at:at + chance.choice((0, 1, 1, 3))] = chance.choice([*NUMBERS, b'"', b",", b";", b"\n", b"\r", b"\t", b"a" * 200_000, b"\0", b"\xff", b"\xef\xbb\xbf", b"=1+1"])
    return bytes(content)


def altered_archive(content, chance, others=(b"",)):
    """A .zip file with altered members and right checksums, with forged sizes, or with altered bytes."""
    way = chance.random()
    if way < .3:
        return altered_bytes(content, chance, others)
    members = unpacked(content)
    name = chance.choice(list(members))
    if way < .85:
        members[name] = altered_text(members[name], chance, others)
    elif way < .9:
        del members[name]
    elif way < .95:
        members[chance.choice([name.upper(), f"../{name}", f"{name}\0", chance.choice(list(members))])] = members[name]
    written = packed(members)
    if chance.random() < .1:  # the size that the directory gives
        at = written.rfind(b"PK\x01\x02")
        written = written[:at + 24] + struct.pack("<I", chance.choice((0, 1, 2**31, 2**32 - 2))) + written[at + 28:]
    return written


def altered_gzip(content, chance, others=(b"",)):
    if chance.random() < .5:
        return altered_bytes(content, chance, others)
    return gzip.compress(altered_text(gzip.decompress(content), chance, others)) * chance.choice((1, 1, 2))


VALUES = [None, True, 0, -1, 1.5, 10**30, -1e308, "", "x", "../../etc", [], [1], ["a", None], {}, {"a": 1}, [[["a"]]], "٣", "\ud800", 2**63]


def altered_value(record, chance):
    """A record of JSON in which some values are of another type, or are gone, moved, or given twice."""
    record = json.loads(json.dumps(record))
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        inside, parent = record, None
        while isinstance(inside, (dict, list)) and len(inside) and (parent is None or chance.random() < .8):
            key = chance.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
            parent, inside = (inside, key), inside[key]
        if parent is None:
            return copy.deepcopy(chance.choice(VALUES))
        holder, key = parent
        way = chance.random()
        if way < .7:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        elif way < .85:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, inside)
        else:
            holder[chance.choice([f"{key}x", "", "__class__"])] = inside
    return record


def as_json(record):
    return json.dumps(record, ensure_ascii=True).encode()


def altered_json(content, chance, others=(b"",)):
    return altered_text(content, chance, others) if chance.random() < .3 else as_json(altered_value(json.loads(content), chance))


def signed(record):
    from studperf.prediction.formula_file import record_hash

    return record | {"sha256": record_hash(record)} if isinstance(record, dict) else record


def altered_predictor(content, chance, others=(b"",)):
    """A predictor's file: altered as an archive, or its description or its model altered and signed again."""
    way = chance.random()
    if way < .2:
        return altered_archive(content, chance, others)
    members = unpacked(content)
    record = json.loads(members["predictor.json"])
    try:
        if way < .8:
            part = chance.choice((None, "formula", "schema", "profile"))
            changed = altered_value(record if part is None else record[part], chance)
            record = changed if part is None else record | {part: changed}
        else:
            inner = unpacked(members["model.skops"])
            name = "schema.json" if chance.random() < .7 else chance.choice(list(inner))
            inner[name] = altered_json(inner[name], chance, others) if name == "schema.json" else altered_bytes(inner[name], chance, others)
            members["model.skops"] = packed(inner)
            record["model_sha256"] = hashlib.sha256(members["model.skops"]).hexdigest()
        return packed(members | {"predictor.json": as_json(signed(record))})
    except (ValueError, TypeError):  # it cannot be signed
        return altered_archive(content, chance, others)


def altered_cohort(content, chance, others=(b"",)):
    """A Cohort's file: altered bytes, or its description or a column altered and written again."""
    if chance.random() < .3:
        return altered_bytes(content, chance, others)
    table = pa.parquet.read_table(io.BytesIO(content))
    about = json.loads(table.schema.metadata[b"studperf.cohort"])
    try:
        if chance.random() < .6:
            about = altered_value(about, chance)
        else:
            place = chance.randrange(table.num_columns)
            column = table.column(place)
            change = chance.randrange(4)
            new = (pa.nulls(len(table)), pa.array([chance.choice(VALUES[2:6])] * len(table), pa.float64()) if change == 1 else None, column[::-1] if change == 2 else None,
                   pa.array([chance.choice(["x", "", "9"])] * len(table)) if change == 3 else None)[change]
            table = table.remove_column(place) if chance.random() < .2 else table.set_column(place, table.column_names[place], new)
        written = io.BytesIO()
        pa.parquet.write_table(table.replace_schema_metadata({b"studperf.cohort": as_json(about)}), written)
        return written.getvalue()
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return altered_bytes(content, chance, others)


def altered_toml(content, chance, others=(b"",)):
    if chance.random() < .4:
        return altered_text(content, chance, others)
    try:
        return tomli_w.dumps(altered_value(tomllib.loads(content.decode()), chance)).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, AttributeError):
        return altered_text(content, chance, others)


# Readers: each gives its valid files, as name: (content, alteration), and what reads the content of a file of that name

def files_of(also, *kinds):
    frame = plain_frame()
    made = {"csv": ("a.csv", lambda: text(frame), altered_text), "semicolons": ("b.csv", lambda: text(frame, ";"), altered_text),
            "gz": ("a.csv.gz", lambda: gzip.compress(text(frame)), altered_gzip), "zip": ("a.zip", lambda: packed({"a.csv": text(frame), "b.xlsx": xlsx(frame)}), altered_archive),
            "zip of one": ("b.zip", lambda: packed({"a.csv": text(frame)}), altered_archive),
            "xlsx": ("a.xlsx", lambda: xlsx(frame), altered_archive), "ods": ("a.ods", lambda: ods(frame), altered_archive),
            "xlsb": ("a.xlsb", lambda: xlsb(frame), altered_archive), "xls": ("a.xls", XLS.read_bytes, altered_bytes),
            "parquet": ("a.parquet", lambda: parquet(frame), altered_bytes), "packed parquet": ("b.parquet", lambda: parquet(frame, compression="zstd", use_dictionary=False), altered_bytes),
            "feather": ("a.feather", lambda: arrow(frame, "feather"), altered_bytes), "arrow": ("a.arrow", lambda: arrow(frame, "stream"), altered_bytes),
            **{end: (f"a.{end}", partial(by_pyreadstat, frame, end), altered_bytes) for end in ("dta", "sav", "zsav", "por", "xpt")}}
    found = {name: (make(), alter) for name, make, alter in (made[kind] for kind in kinds if kind in made)}
    ends = tuple({made[kind][0][1:] if kind in made else f".{kind}" for kind in kinds})
    by_end = {".gz": altered_gzip, ".csv": altered_text, ".xlsx": altered_archive}
    return found | {name: (content, by_end.get(Path(name).suffix, altered_bytes)) for name, content in real_files(also, *ends)}


def reads_table(content, name):
    from studperf.rows.parsing import read_file
    from studperf.rows.reading import TABLE_READERS

    raw = read_file(content, name=name, readers=TABLE_READERS, source=name)
    return raw.frame.shape


def reads_class_list(content, name, facts):
    from studperf.dashboard.class_list import _class_list, schema_of

    _class_list(content, schema_of(facts, "math"), name)


def reads_own_table(content, name):
    from studperf.dashboard.own_table_work import draft_table

    draft_table(content, name=name)


def in_a_file(read):
    """A reader of paths as one of contents."""
    def reads(content, name):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(content)
            read(path)
    return reads


def predictors():
    from studperf import fit_predictor

    rows = load_students().head(300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in ("least squares", "decision tree", "partial pooling"):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "a.studperf")
                fit_predictor(rows, "math", model=model, inputs="all" if model == "partial pooling" else "background").save(path)
                yield f"{model.replace(' ', '_')}.studperf", path.read_bytes()


def predictor_files(also):
    return {name: (content, altered_predictor) for name, content in [*predictors(), *real_files(also, ".studperf")]}


def ask_formula(path):
    from studperf.prediction.formula_file import read_formula

    formula = read_formula(path)
    formula.predict_one({**{name: next(iter(levels)) for name, levels in formula.points.items()}, **dict.fromkeys(formula.slopes, 50.0)})


def ask_file_predictor(path):
    from studperf.prediction.files import formula_predictor

    formula_predictor(path)


def ask_predictor(path):
    from studperf.models.predictor import load_predictor

    predictor = load_predictor(path)
    repr(predictor.predict(load_students().head(3)))


def ask_facts(path):
    from studperf.dashboard.answers import Question, expected_score
    from studperf.dashboard.facts import Facts

    facts = Facts.read(path)
    expected_score(facts, Question(facts.scores[0], {name: next(iter(levels)) for name, levels in facts.factors.items()}))


def ask_cohort(path):
    from studperf import compare

    compare(Cohort.load(path))


def ask_schema(path):
    from studperf.rows.schema import Schema

    repr(Schema.from_toml(path).roles)


def facts_file():
    from studperf.dashboard.preparing import facts_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "facts.json")
        facts_of().save(path)
        return path.read_bytes()


def cohort_file():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cohort.parquet")
        Cohort.summarize(load_students(), joint=True).suppress().save(path)
        return path.read_bytes()


def schema_file():
    from studperf.rows.schema import STUDENTS, Schema

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "school.toml")
        STUDENTS.to_toml(path)
        yield "students.toml", path.read_bytes()
        Schema({"class": ["a", "b"]}, {"essay": (0, 20)}, recode={"essay": {"abs": ""}}, left_out={"name": "a text"}, lowest_best=["essay"], covariates=["age"]).to_toml(path)
        yield "school.toml", path.read_bytes()


def registry_entry():
    from studperf import Registry

    with tempfile.TemporaryDirectory() as folder:
        from studperf import fit_predictor

        Registry(folder).publish("math", fit_predictor(load_students().head(300), "math", model="ridge"), files={"card.md": "a card"})
        return {kind: Path(folder, "math", kind, "000001.json").read_bytes() for kind in ("versions", "in_force")}


def altered_entry(content, chance, others=(b"",)):
    if chance.random() < .2:
        return altered_text(content, chance, others)
    record = altered_value({key: value for key, value in json.loads(content).items() if key != "sha256"}, chance)
    try:
        return as_json(signed(record))
    except (ValueError, TypeError):
        return altered_text(content, chance, others)


def asks_registry(content, name, valid):
    from studperf import Registry

    with tempfile.TemporaryDirectory() as folder:
        for kind, right in valid.items():
            path = Path(folder, "math", kind, "000001.json")
            path.parent.mkdir(parents=True)
            path.write_bytes(content if name == kind else right)
        registry = Registry(folder)
        repr((registry.versions(), registry.names()))
        registry.history("math")
        registry.compare("math", 1, 1)
        try:
            registry.load("math")
        except ValueError as error:
            if "is not there any more" not in str(error):  # as it is with every right entry here
                raise


def readers(also):
    """name: (valid files, reader, what must be imported before)"""
    def facts():
        from studperf.dashboard.preparing import facts_of

        return facts_of()
    tables = {"text": ("csv", "semicolons", "gz", "zip", "zip of one"), "workbooks": ("xlsx", "xls", "xlsb", "ods"), "Parquet": ("parquet", "packed parquet"), "Arrow": ("feather", "arrow"),
              "Stata": ("dta",), "SPSS": ("sav", "zsav", "por"), "SAS": ("xpt", "sas7bdat")}
    return {**{name: partial(lambda kinds: (files_of(also, *kinds), reads_table), kinds) for name, kinds in tables.items()},
            "class list": lambda: (files_of(also, "csv", "semicolons", "xlsx"), partial(reads_class_list, facts=facts())),
            "own table": lambda: (files_of(also, "csv", "gz", "xlsx"), reads_own_table),
            "formula": lambda: (predictor_files(also), in_a_file(ask_formula)), "predictor": lambda: (predictor_files(also), in_a_file(ask_predictor)),
            "predictor of files": lambda: (predictor_files(also), in_a_file(ask_file_predictor)), "facts": lambda: ({"facts.json": (facts_file(), altered_json)}, in_a_file(ask_facts)),
            "Cohort": lambda: ({"cohort.parquet": (cohort_file(), altered_cohort)}, in_a_file(ask_cohort)),
            "Schema": lambda: ({name: (content, altered_toml) for name, content in schema_file()}, in_a_file(ask_schema)), "registry": registry_reader}


def registry_reader():
    valid = registry_entry()
    return {kind: (content, altered_entry) for kind, content in valid.items()}, partial(asks_registry, valid=valid)


# Trying

def outcome(read, content, name):
    """How it ends: read, refused, limited, or the traceback of anything else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(content, name)
            return "read"
        except MemoryError:
            return "limited"
        except (ValueError, FileNotFoundError) as error:
            sentences = getattr(error, "problems", [str(error)])
            if isinstance(error, UnicodeError) or not all(0 < len(one.splitlines()) <= 1 and len(one) < 3000 for one in sentences):
                return f"{type(error).__name__}: {str(error)[:300]!r} is no line\n{''.join(traceback.format_tb(error.__traceback__)[-3:])}"
            return "refused"
        except BaseException as error:  # a library's own failure may be no Exception
            return f"{type(error).__name__}: {str(error)[:200]}\n{''.join(traceback.format_tb(error.__traceback__)[-4:])}"


LIBRARIES = 120 * 2**20  # bytes of data that pandas and Arrow take in any process that reads tables


def data_of_process():
    """The bytes that this process's limit counts already."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmData")).split()[1])


def limit_processor(seconds):
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def try_in_copy(read, batch):
    """The outcomes of a batch in a copy of this process, which may end before the last: (outcome, seconds); its exit status and most memory in MB."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        size = max(len(content) for content, _ in batch)
        limits = reading_limits(size)
        here = data_of_process() - LIBRARIES  # this process has more libraries than the one that reads for the command
        confine(replace(limits, memory=limits.memory + max(here, 0), processor=10_000))
        signal.alarm(PATIENCE * len(batch))
        with os.fdopen(writing, "w") as told:
            for content, name in batch:
                limit_processor(limits.processor)
                begun = time.process_time()
                end = outcome(read, content, name)
                told.write(json.dumps([end, time.process_time() - begun]) + "\n")
                told.flush()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        found = [json.loads(line) for line in told]
    _, status, used = os.wait4(child, 0)
    return found, status, used.ru_maxrss / 1024


def try_all(read, made):
    """A row for each file: how it ended, seconds; and the most memory of all copies."""
    waiting, found, most = list(made), [], 0
    while waiting:
        batch, waiting = waiting[:BATCH], waiting[BATCH:]
        ends, status, memory = try_in_copy(read, batch)
        most, found = max(most, memory), found + ends
        if len(ends) < len(batch):
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            found.append(["limited" if number in MEMORY_ERRORS else "broken_off" if number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL) else f"ended with {status}", 0.0])
            waiting = batch[len(ends) + 1:] + waiting
    return found, most


def altered(valid, count, seed):
    """So many altered files: content, name."""
    chance, names = random.Random(seed), list(valid)
    others = [content[:100_000] for content, _ in valid.values()]
    for _ in range(count):
        name = chance.choice(names)
        content, alter = valid[name]
        yield alter(content, chance, others), name


def measure(name, make, count, keep=None):
    """The table's row for one reader."""
    valid, read = make()
    ends = {file: outcome(read, content, file) for file, (content, _) in valid.items()}
    fine = [file for file, end in ends.items() if end in ("read", "refused")]
    assert len(fine) == len(ends), ends
    begun, found, most = time.perf_counter(), [], 0
    for start in range(0, count, 500):  # so that not all files are in memory
        files = list(altered(valid, min(500, count - start), f"{name} {start}"))
        ended, memory = try_all(read, files)
        for (content, file), (end, _) in zip(files, ended, strict=True):
            if keep and end not in ("read", "refused", "limited"):
                keep.mkdir(exist_ok=True)
                Path(keep, f"{name} {zlib.crc32(content):08x} {file}").write_bytes(content)
        found, most = found + ended, max(most, memory)
    ends = [end for end, _ in found]
    kinds = {kind: ends.count(kind) for kind in ("read", "refused", "limited", "broken_off")}
    others = [end for end in ends if end not in kinds]
    for end in sorted(set(others), key=others.count, reverse=True)[:8]:
        print(f"--- {name}, {others.count(end)} times: {end}", file=sys.stderr, flush=True)
    return {"reader": name, "valid": len(valid), "files": len(found), **kinds, "other": len(others), "most_memory_mb": round(most), "longest_s": round(max(seconds for _, seconds in found), 2),
            "all_s": round(time.perf_counter() - begun)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="10,000 files for each reader; write the table")
    parser.add_argument("--files", type=int, help="files for each reader")
    parser.add_argument("--reader", action="append", help="this one alone")
    parser.add_argument("--also", action="append", type=Path, help="folders of real files; default: wild/ of the shared data")
    parser.add_argument("--keep", type=Path, help="write files that end in any other way to this folder")
    parser.add_argument("--out", type=Path, help="write the table to this file")
    given = parser.parse_args()
    also = given.also or [path for path in (SHARED / "wild",) if path.is_dir()]
    known = readers(also)
    rows = []
    for name in given.reader or known:
        rows.append(measure(name, known[name], given.files or (10_000 if given.full else 200), given.keep))
        print(json.dumps(rows[-1]), flush=True)
        out = given.out or (TABLE if given.full else None)
        if out:
            pd.DataFrame(rows).to_csv(out, index=False)
    print(pd.DataFrame(rows).to_string(index=False))
    sys.exit(any(row["other"] for row in rows))


if __name__ == "__main__":
    main()
