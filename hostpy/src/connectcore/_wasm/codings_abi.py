"""The numbers of the codings' module's interface (wasm/ABI.md, section 11).

Made by wasm/abigen; do not edit.
"""

from __future__ import annotations

from typing import Final

EXPORT_MARKER: Final = "connectcore_codings_v1"
EXPORT_VERSION: Final = "connectcore_codings_version"
EXPORT_RESERVE: Final = "connectcore_codings_reserve"
EXPORT_COMPRESS: Final = "connectcore_codings_compress"
EXPORT_DECOMPRESS: Final = "connectcore_codings_decompress"
MAJOR: Final = 1
MINOR: Final = 0
BR: Final = 1
ZSTD: Final = 2
FAULT_TOO_LARGE: Final = 1
FAULT_MALFORMED: Final = 2
MAX_WINDOW: Final = 8388608
