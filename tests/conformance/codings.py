"""The suite's codings, done natively where that can be, or all of them in the modules of this package."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import setup

setup.ensure()

from connectcore.compression import GzipCompression, ModuleCompression  # noqa: E402
from connectcore.compression.brotli import BrotliCompression  # noqa: E402
from connectcore.compression.deflate import DeflateCompression  # noqa: E402
from connectcore.compression.snappy import SnappyCompression  # noqa: E402
from connectcore.compression.zstd import ZstdCompression  # noqa: E402
from connectrpc.conformance.v1 import config_pb2  # type: ignore[import-not-found]  # noqa: E402

if TYPE_CHECKING:
    from connectcore.compression import AnyCompression

LIBRARIES = ("brotli", "brotlicffi", "zstandard", "backports.zstd", "compression.zstd")


def codings(*, modules: bool) -> dict[Any, AnyCompression]:
    """Compressions by the suite's numbers."""
    if modules:
        for name in LIBRARIES:
            sys.modules[name] = None  # type: ignore[assignment]  # it cannot be imported
    return {
        config_pb2.COMPRESSION_GZIP: ModuleCompression("gzip") if modules else GzipCompression(),
        config_pb2.COMPRESSION_BR: BrotliCompression(),
        config_pb2.COMPRESSION_ZSTD: ZstdCompression(),
        config_pb2.COMPRESSION_DEFLATE: ModuleCompression("deflate") if modules else DeflateCompression(),
        config_pb2.COMPRESSION_SNAPPY: SnappyCompression(),
    }
