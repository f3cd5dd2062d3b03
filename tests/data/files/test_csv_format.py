"""CSV files are read as they are written: separator, decimal mark, encoding, compression, lines above the header."""

from __future__ import annotations

import csv
import functools
import gzip
import pathlib
import resource
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from tables_of_rows import message_of, text_file

from tfgmm.data.columns import numeric_columns
from tfgmm.data.files.csv_format import CsvOptions, csv_format
from tfgmm.data.files.csv_guess import decimal_of, delimiter_of, titles_above
from tfgmm.data.files.opening import open_files, open_stored, words_of_format
from tfgmm.data.readers import open_rows, read_rows

VALUES = np.array([[1.25, 1002.71], [-2.5, 3.0], [10.0, 200.5]])
PLAIN = "length,price\n" + "".join(f"{a},{b}\n" for a, b in VALUES.tolist())
EUROPE = PLAIN.translate(str.maketrans({",": ";", ".": ","}))

# file: what it holds, and the words for how it is read
WRITTEN: dict[str, tuple[bytes, str]] = {
    "plain.csv": (PLAIN.encode(), ""),
    "mark.csv": (PLAIN.encode("utf-8-sig"), ""),
    "carriage.csv": (PLAIN.replace("\n", "\r\n").encode(), ""),
    "europe.csv": (EUROPE.encode(), "semicolons between columns and decimal commas"),
    "semicolons.csv": (PLAIN.replace(",", ";").encode(), "semicolons between columns"),
    "spaces.csv": (PLAIN.replace(",", " ").encode(), "spaces between columns"),
    "bars.csv": (PLAIN.replace(",", "|").encode(), "bars between columns"),
    "tabs.tsv": (PLAIN.replace(",", "\t").encode(), "tabs between columns"),
    "TABS.TSV": (EUROPE.replace(";", "\t").encode(), "tabs between columns and decimal commas"),
    "excel.csv": (
        f"sep=;\n{EUROPE}".encode("utf-8-sig"),
        "semicolons between columns, decimal commas and 1 line above the header",
    ),
    "unicode.csv": (PLAIN.encode("utf-16"), "encoding utf-16"),
    "unicode_le.csv": (PLAIN.encode("utf-16-le"), "encoding utf-16-le"),
    "unicode_tabs.csv": (
        EUROPE.replace(";", "\t").encode("utf-16"), "tabs between columns, decimal commas and encoding utf-16"
    ),
    "packed.csv.gz": (gzip.compress(PLAIN[:20].encode()) + gzip.compress(PLAIN[20:].encode()), ""),
    "packed.tsv.gz": (gzip.compress(PLAIN.replace(",", "\t").encode()), "tabs between columns"),
    "not_packed.csv.gz": (PLAIN.encode(), ""),
    "comments.csv": (f"# of May; by us\n# 1,2,3\n\n{PLAIN}".encode(), "3 lines above the header"),
    "titles.csv": (f"Report of May\nby us, in\n\n{PLAIN}".encode(), "3 lines above the header"),
    "title_eu.csv": (
        f"Report, of May\n{EUROPE}".encode(), "semicolons between columns, decimal commas and 1 line above the header"
    ),
    "percent.csv": (
        f"% of May\n{EUROPE}".encode(), "semicolons between columns, decimal commas and 1 line above the header"
    ),
    "savetxt.csv": (f"# made by numpy\n# {PLAIN}".encode(), "the names in a comment, line 2"),
    "among.csv": (
        f"# of May\n{PLAIN}".replace("\n-2.5", "\n# so, so, so\n#\n-2.5").encode(),
        "1 line above the header and comments among the rows",
    ),
    "thousands.csv": (b'length,price\n1.25,"1,002.71"\n-2.5,3\n10,200.5\n', "thousands grouped as in 1,002.71"),
    "thousands_eu.csv": (
        b"length;price\n1,25;1.002,71\n-2,5;3\n10;200,5\n",
        "semicolons between columns, decimal commas and thousands grouped as in 1.002,71",
    ),
    "narrow_spaces.csv": (
        "length;price\n1,25;1\u202f002,71\n\u22122,5;+3\n10;200,5\n".encode(),
        "semicolons between columns, decimal commas and thousands grouped as in 1\u202f002,71",
    ),
    "quoted_commas.csv": (b'length,price\n"1,25","1002,71"\n"-2,5",3\n10,"200,5"\n', "decimal commas"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_files_are_read_as_they_are_written_whole_and_block_by_block(tmp_path: pathlib.Path, name: str) -> None:
    contents, words = WRITTEN[name]
    path = str(tmp_path / name)
    pathlib.Path(path).write_bytes(contents)
    rows = read_rows(path)
    assert rows.column_names == ("length", "price") and rows.values.tolist() == VALUES.tolist()
    with open_stored("x", [path], ["price", "length"]) as stored:
        assert np.concatenate([block.values for block in stored.blocks()]).tolist() == VALUES[:, ::-1].tolist()
    assert csv_format("x", path).words == words_of_format("x", path) == words
    assert numeric_columns("x", path).names == ("length", "price")


@pytest.mark.parametrize(
    ("contents", "options", "refusal"),
    [
        (b"length:price\n1.25:2\n", {"delimiter": ":"}, "column 'length:price' (text"),
        (b"length price place\n1.25 2 sea\n", {"delimiter": "space"}, "column 'length price place' (text"),
        (b"length;price\n0.5;1,5\n0.25;1\n1,25;2\n", {"decimal": ","}, "column 'price' (text, for example '1,5'"),
        (b"Prices;of us\nof;May\nlength;price\n1.25;2\n", {"skip_rows": 2}, "column 'Prices' (text"),
        ("l\xe4nge;preis\n1,25;2\n".encode("latin-1"), {"encoding": "latin-1"}, "not text in UTF-8"),
    ],
    ids=["delimiter", "space", "decimal", "skip_rows", "encoding"],
)
def test_what_is_said_goes_before_the_guess(
    tmp_path: pathlib.Path, contents: bytes, options: dict, refusal: str
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(contents)
    assert refusal in message_of((TypeError, ValueError), read_rows, path)
    if "decimal" in options:
        return  # points and commas in one file: whatever is said, one column is no number
    columns = open_files("x", str(path), CsvOptions(**options)).column_names[:2]
    rows = open_rows(path, csv=CsvOptions(**options), columns=columns)
    assert next(rows.blocks()).values.tolist() == [[1.25, 2.0]]


def test_the_decimal_mark_that_is_said_decides_what_may_be_either(tmp_path: pathlib.Path) -> None:
    path = text_file(tmp_path, "length;price\n1,250;2\n")
    for decimal, number in ((",", 1.25), (".", 1250.0)):
        assert next(open_rows(path, csv=CsvOptions(decimal=decimal)).blocks()).values.tolist() == [[number, 2.0]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"delimiter": ";;"}, "`delimiter` must be one character"),
        ({"delimiter": "."}, "`delimiter` must be one character"),
        ({"decimal": ";"}, "`decimal` must be the decimal mark"),
        ({"decimal": ",", "delimiter": ","}, "`decimal` must be another mark than `delimiter`"),
        ({"encoding": "klingon"}, "`encoding` must be an encoding that Python knows. Received: 'klingon'"),
        ({"encoding": "zlib"}, "`encoding` must be an encoding"),
        ({"skip_rows": -1}, "`skip_rows` must be a whole number from 0 on. Received: -1"),
        ({"skip_rows": True}, "`skip_rows` must be a whole number"),
    ],
)
def test_what_cannot_be_said_of_a_csv_file_is_refused(options: dict, words: str) -> None:
    assert words in message_of(ValueError, CsvOptions, **options)


@pytest.mark.parametrize("number", [1_000, 30_000])
def test_line_breaks_in_quotation_marks_of_small_and_large_files(tmp_path: pathlib.Path, number: int) -> None:
    values = np.random.default_rng(0).normal(170.0, 8.0, number).round(2)
    with open(tmp_path / "x.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["remark", "height"])
        writer.writerows(['one\ntwo, "three"\n# four', value] for value in values.tolist())
    rows = read_rows(tmp_path / "x.csv", columns=["height"]).values
    assert rows[:, 0].tolist() == values.tolist() == pd.read_csv(tmp_path / "x.csv")["height"].tolist()
    with open_stored("x", [str(tmp_path / "x.csv")], ["height"]) as stored:
        assert np.array_equal(np.concatenate([block.values for block in stored.blocks()]), rows)


def test_a_cell_that_is_no_number_is_named_by_its_line_in_the_file(tmp_path: pathlib.Path) -> None:
    lines = ["# of May", "", "remark;width", '"one', 'two";1,5', "a;2,5", "# no row; of; these", "b;12kg", "c;4"]
    path = text_file(tmp_path, "\n".join(lines))
    for read in (read_rows, lambda path, **options: list(open_stored("x", [str(path)], options["columns"]).blocks())):
        message = message_of(TypeError, read, path, columns=["width"])
        assert f"'12kg' in row 2, line {1 + lines.index('b;12kg')}" in message and str(path) in message


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (b"PK\x03\x04 and so on", "which is a spreadsheet or a zip archive"),
        (gzip.compress(PLAIN.encode() * 1000)[:200], "damaged, cut short or of another kind"),
        (PLAIN.encode("utf-32-be"), "not text in UTF-8"),
    ],
)
def test_what_is_no_csv_is_refused_by_name(tmp_path: pathlib.Path, contents: bytes, words: str) -> None:
    (tmp_path / "x.csv.gz").write_bytes(contents)
    message = message_of(ValueError, read_rows, tmp_path / "x.csv.gz")
    assert words in message and "x.csv.gz" in message


def test_a_folder_may_hold_files_that_are_written_in_several_ways(tmp_path: pathlib.Path) -> None:
    for name in ("plain.csv", "europe.csv", "unicode.csv", "packed.csv.gz"):
        (tmp_path / name).write_bytes(WRITTEN[name][0])
    assert read_rows(tmp_path).values.tolist() == VALUES.tolist() * 4


def test_text_in_a_later_block_of_a_compressed_file_is_named(tmp_path: pathlib.Path) -> None:
    text = "a;b\n" + "1,5;2\n" * 100_000 + "1,5;2x\n"
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(text.encode(), 1))
    message = message_of(TypeError, lambda: list(open_stored("x", [str(path)], ["a", "b"]).blocks()))
    assert "column 'b' (text, for example '2x' in row 100000, line 100002)" in message


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        ("#,name,x\n1,a,2\n", ("#", "name", "x"), ""),
        ("%time,x\n1.5,2\n", ("%time", "x"), ""),
        ("##meta\n#CHROM\tPOS\nchr1\t2\n", ("#CHROM", "POS"), "tabs between columns and 1 line above the header"),
        ("#name,x\nAnn,NA\nBob,3\n", ("#name", "x"), ""),
        ("# width x\n1.5 2\n3 4\n", ("width", "x"), "spaces between columns and the names in a comment, line 1"),
        ("# of May, of us\nname,x\nAnn,3\n", ("name", "x"), "1 line above the header"),
        ("#x\n1.5\n2\n", ("#x",), ""),
        ("# all of May\nx\n1.5\n2\n", ("x",), "1 line above the header"),
    ],
)
def test_a_header_that_looks_like_a_comment_is_one(
    tmp_path: pathlib.Path, text: str, names: tuple[str, ...], words: str
) -> None:
    path = str(text_file(tmp_path, text))
    assert (open_files("x", path).column_names, words_of_format("x", path)) == (names, words)
    values = read_rows(path, columns=names[-1:]).values
    assert values.shape[1] == 1 and np.isfinite(values[-1]).all()


def test_separators_are_guessed_by_the_cells_not_by_the_first_mark() -> None:
    assert delimiter_of(["length, m;width, m\n", "1,5;2,5\n"]) == ";"
    assert delimiter_of(['"a; b","c; d"\n', "1,2\n"]) == ","
    assert delimiter_of(["a,b\n", "1,2,3\n"]) == ","  # not one column: what is wrong can be said
    assert delimiter_of(["place|x\n", "a, b, c|1\n", "d|2\n"]) == "|"
    assert delimiter_of(["first last\n", "John Smith\n"]) == "," == delimiter_of(["height, in cm\n", "170 3\n"])
    assert delimiter_of([]) == delimiter_of(["x\n", "1\n"]) == ","


def test_titles_are_told_from_a_header_by_their_cells() -> None:
    assert titles_above(["Report\n", "a;b\n", "1;2\n"]) == 1
    assert titles_above(["Report, of May\n", "a,b,c\n", "1,2,x\n"]) == 1
    assert titles_above(["Report: of May\n", "a:b:c\n", "1:2:x\n"], ":") == 1
    for lines in (
        ["x\n", "1,5\n", "2,5\n"],  # one column with decimal commas
        ["name\n", "Smith, John\n", "Doe, Ann\n"],
        ["a,b\n", "1,2\n", "1,2,3\n"],  # not regular: to be refused
        ["a,b\n", "1,2\n"],
        [],
    ):
        assert titles_above(lines) == 0


def test_decimal_marks_are_guessed_from_numbers_that_can_be_read_in_one_way() -> None:
    for mark in (".", ","):
        other = "," if mark == "." else "."
        for numbers in (
            f"1{mark}5;1{other}234", f"1{other}234{mark}5;7", f"0{mark}125", f"1{other}101{other}000", f"1234{mark}125",
            f"1{mark}250e-3",
        ):  # fmt: skip
            assert decimal_of([f"{numbers}\n"], ";") == (mark, None, None), numbers
        assert decimal_of([f"1{mark}234;2\n"], ";") == (mark, f"1{mark}234", None)
        assert decimal_of([f"1{mark}234\n", "n/a\n", "-950\n"], "\t") == (mark, f"1{mark}234", "-950")
        assert decimal_of([f"1{mark}234 kg\n", "950\n"], ";").beside is None  # no column of numbers
    assert decimal_of(["1,234|1.234\n"], "|") == (",", "1,234", "1.234")


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_memory_stays_small_for_files_that_are_unpacked_or_recoded(tmp_path: pathlib.Path, ending: str) -> None:
    rows = "".join(f"{index % 97},5;{index % 89},25\n" for index in range(100_000))
    path = tmp_path / f"x{ending}"
    write: Callable = functools.partial(gzip.open, compresslevel=1) if ending.endswith("gz") else open
    with write(path, mode="wt", encoding="utf-16") as file:
        file.write("a;b\n")
        for _ in range(40):
            file.write(rows)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open_rows(path) as stored:
        assert stored.num_data == 4_000_000 and not stored.is_in_memory
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB; the text is 88 MiB
