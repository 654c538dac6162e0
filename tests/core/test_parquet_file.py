"""The writer of one Parquet file: nothing is left of one that could not be begun."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.output_columns import TRACK_COLUMNS
from pipeline.core.parquet_file import PartWriter

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="counts open files there")
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_writer_that_cannot_begin_leaves_nothing(error, tmp_path, monkeypatch):
    """On a full disk each attempt left a file, open for as long as the program ran."""

    def refuse(*_, **__) -> None:
        raise error

    monkeypatch.setattr(parquet, "ParquetWriter", refuse)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(type(error)):
        PartWriter(tmp_path / "a.parquet", TRACK_COLUMNS, tmp_path / "a.part")
    assert [*tmp_path.iterdir()] == []
    assert len(os.listdir("/dev/fd")) == before


def test_a_process_of_our_own_does_without_pandas_until_it_is_asked_for():
    """pyarrow loads it with the first array: half a second and 40 MB in each worker."""
    pytest.importorskip("pandas")
    program = (
        "import sys\n"
        "from pipeline.core.parquet_file import import_pyarrow, keep_pandas_out\n"
        "keep_pandas_out()\n"
        "pa = import_pyarrow('a test')\n"
        "table = pa.table({'a': pa.array([1, 2])})\n"
        "print('pandas' in sys.modules, table['a'].to_numpy().sum(), len(table.to_pandas()))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout == "False 3 2\n", said.stderr
