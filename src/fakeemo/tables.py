"""Parquet tables that say what they hold.

Every table is zstd-compressed Parquet. Its file metadata carry, under the key ``fakeemo``, one JSON object:
``kind``, ``schema_version``, ``status`` and ``reason`` (of the video the table belongs to), ``units`` of the
columns, ``parameters`` it was made with, and ``software`` (name to version).
"""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fakeemo.errors import FakeemoError
from fakeemo.files import replacing

SCHEMA_VERSION = 1
_KEY = b"fakeemo"


def software(*packages: str) -> dict[str, str]:
    """Give the versions of Python, fakeemo and the named distributions, for a table's header."""
    found = {"python": platform.python_version()}
    for package in ("fakeemo", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def write_table(
    path: str | Path,
    columns: Mapping[str, Any],
    *,
    kind: str,
    units: Mapping[str, str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
    status: str = "ok",
    reason: str = "",
) -> None:
    """Write ``columns`` (name to 1-d array or list, all of one length) to a Parquet file in one step."""
    header = {
        "kind": kind,
        "schema_version": SCHEMA_VERSION,
        "status": status,
        "reason": reason,
        "units": dict(units or {}),
        "parameters": dict(parameters or {}),
        "software": dict(versions or software()),
    }
    arrays = {name: _arrow_array(values) for name, values in columns.items()}
    table = pa.Table.from_arrays(list(arrays.values()), list(arrays)).replace_schema_metadata(
        {_KEY: json.dumps(header, sort_keys=True)}
    )
    # Measurements hardly repeat: a dictionary of them makes the file larger, and takes twice the time.
    repeating = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    with replacing(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=repeating)


def read_header(path: str | Path) -> dict[str, Any]:
    """Read a table's header without its rows."""
    return _header(pq.read_schema(path).metadata, path)


def read_table(path: str | Path, columns: list[str] | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read a table as ``(columns by name, header)``.

    Raises :class:`FakeemoError` if the file was not written by :func:`write_table` or by a later format.
    """
    try:
        # Not pq.read_table: it imports pandas, which costs every job of the workflow half a second.
        with pq.ParquetFile(path) as file:
            table = file.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise FakeemoError(f"{path}: cannot be read as a Parquet table ({error}); delete it and run again") from error
    header = _header(table.schema.metadata, path)
    return {name: _numpy_array(table[name]) for name in table.column_names}, header


def _arrow_array(values: Any) -> pa.Array:
    """Turn numbers, truth values or strings into an Arrow array; ``pa.array`` would import pandas first."""
    values = np.asarray(values)
    if values.dtype.kind in "OU":
        texts = [str(text).encode() for text in values]
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(b"".join(texts)))
    kind = pa.from_numpy_dtype(values.dtype)
    data = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])


def _numpy_array(column: pa.ChunkedArray) -> np.ndarray:
    """Undo :func:`_arrow_array`; ``to_numpy()`` would import pandas too."""
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    if pa.types.is_boolean(column.type):
        return np.array(column.to_pylist(), dtype=bool)
    return np.array(np.from_dlpack(column.combine_chunks()))


def _header(metadata: dict[bytes, bytes] | None, path: str | Path) -> dict[str, Any]:
    if not metadata or _KEY not in metadata:
        raise FakeemoError(f"{path}: not a table of fakeemo (its metadata have no 'fakeemo' key); name another")
    header: dict[str, Any] = json.loads(metadata[_KEY])
    if header["schema_version"] > SCHEMA_VERSION:
        raise FakeemoError(
            f"{path}: written in format {header['schema_version']}, this fakeemo reads up to {SCHEMA_VERSION};"
            " update fakeemo"
        )
    return header
