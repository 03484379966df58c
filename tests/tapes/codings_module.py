"""Give the codings' module under wasmtime what a file of JSON asks for, and print what it says: `codings_module.py FILE`.

The Go test of the corpora compares that with what the code says natively and under wazero.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from pathlib import Path

import wasmtime

MODULE = Path(__file__).resolve().parents[2] / "hostgo" / "connectcore-codings.wasm"


def main() -> int:
    """Do one thing after the other on one instance."""
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    store.set_wasi(wasmtime.WasiConfig())
    exports = linker.instantiate(store, wasmtime.Module.from_file(engine, str(MODULE))).exports(store)
    memory = exports["memory"]
    names = ("_initialize", "connectcore_codings_reserve", "connectcore_codings_compress", "connectcore_codings_decompress")
    initialize, reserve, compress, decompress = (exports[name] for name in names)
    assert isinstance(memory, wasmtime.Memory)
    assert isinstance(initialize, wasmtime.Func)
    assert isinstance(reserve, wasmtime.Func)
    assert isinstance(compress, wasmtime.Func)
    assert isinstance(decompress, wasmtime.Func)
    initialize(store)
    said: list[str] = []
    for asked in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        data = base64.b64decode(asked["Data"] or "")
        memory.write(store, data, reserve(store, len(data)))
        run = compress if asked["Compress"] else decompress
        level = (asked["Level"] ^ 1 << 31) - (1 << 31)  # as an i32
        result = run(store, (asked["Coding"] ^ 1 << 31) - (1 << 31), level, len(data)) & (2**64 - 1)
        address, size = result >> 32, result & 0xFFFFFFFF
        out = bytes(memory.read(store, address, address + size)) if address else b""
        said.append(f"{0 if address else size} {len(out)} {zlib.crc32(out):08x}")
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
