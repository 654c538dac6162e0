"""Stores for tests: fsspec's in memory, and an S3 server on loopback."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

S3_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def memory_store() -> Iterator[str]:
    """Yield the address of an empty folder in memory."""
    fsspec = pytest.importorskip("fsspec")
    folder = f"/test-{uuid.uuid4().hex[:8]}"
    yield f"memory:/{folder}"
    fs = fsspec.filesystem("memory")
    if fs.exists(folder):
        fs.rm(folder, recursive=True)


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3 server in this process; yield its address, which the environment names too."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    try:
        with mock.patch.dict(os.environ, {**S3_ENVIRONMENT, "AWS_ENDPOINT_URL": address}):
            yield address
    finally:
        import fsspec

        fsspec.filesystem("s3").clear_instance_cache()
        server.stop()


def new_bucket() -> str:
    """Return the address of a new bucket on the server that the environment names."""
    import boto3

    name = f"test-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"
