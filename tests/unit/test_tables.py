"""Tables: what goes in comes out, headers, faults, and files that are whole or absent."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from fakeemo.errors import FakeemoError
from fakeemo.files import replacing
from fakeemo.tables import read_header, read_table, write_table

COLUMNS = {
    "whole": np.arange(5),
    "small": np.arange(5, dtype=np.int8),
    "real": np.array([0.5, np.nan, -1, 2, 3], np.float32),
    "strided": np.arange(10.0)[::2],
    "truth": np.array([True, False, False, True, True]),
    "text": ["", "é", "tab\t", "<b>", "plain"],
}


def test_every_kind_of_column_comes_back_here_and_in_pandas(tmp_path):
    write_table(tmp_path / "t.parquet", COLUMNS, kind="demo")
    columns, _ = read_table(tmp_path / "t.parquet")
    frame = pd.read_parquet(tmp_path / "t.parquet")
    assert list(columns) == list(frame) == list(COLUMNS)
    for name, values in COLUMNS.items():
        np.testing.assert_array_equal(columns[name], values)
        np.testing.assert_array_equal(frame[name].to_numpy(), values)
    assert columns["real"].dtype == np.float32
    assert columns["small"].dtype == np.int8
    assert list(read_table(tmp_path / "t.parquet", ["text"])[0]) == ["text"]


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    write_table(tmp_path / "t.parquet", {"a": np.empty(0), "b": []}, kind="demo", status="no_face", reason="none seen")
    columns, header = read_table(tmp_path / "t.parquet")
    assert {name: len(values) for name, values in columns.items()} == {"a": 0, "b": 0}
    assert (header["status"], header["reason"]) == ("no_face", "none seen")


def test_the_header_says_what_the_table_holds(tmp_path):
    write_table(tmp_path / "t.parquet", COLUMNS, kind="demo", units={"real": "s"}, parameters={"seed": 3})
    header = read_header(tmp_path / "t.parquet")
    assert header["kind"] == "demo"
    assert header["units"] == {"real": "s"}
    assert header["parameters"] == {"seed": 3}
    assert header["software"]["fakeemo"]


def test_faults_are_named(tmp_path):
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(FakeemoError, match=r"text\.parquet: cannot be read as a Parquet table"):
        read_table(tmp_path / "text.parquet")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(FakeemoError, match=r"foreign\.parquet: not a table of fakeemo"):
        read_table(tmp_path / "foreign.parquet")


def test_a_file_is_whole_or_absent(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert list(target.parent.iterdir()) == []
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(target) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert target.read_text() == "old"
    with replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_reading_and_writing_imports_no_pandas(tmp_path):
    program = (
        "import sys, numpy\nfrom fakeemo.tables import *\n"
        f"write_table({str(tmp_path / 't.parquet')!r}, {{'a': numpy.arange(3), 'b': ['x', 'y', 'z']}}, kind='t')\n"
        f"read_table({str(tmp_path / 't.parquet')!r}); print('pandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
