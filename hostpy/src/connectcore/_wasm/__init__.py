"""The engine: the protocol module (`connectcore.wasm`), its instances, and what is said to them.

    commands -> records (bytes) -> instance (a step of the guest) -> records -> events

`abi` holds the numbers of the interface and `records` its one writer and reader (both are made from the table of wasm/ABI.md);
`columns` joins and splits what stands in a record, and `content` holds what the guest names instead of carrying it.
`configuration` is what all calls of a server or client have in common.

`module` finds the module and has it compiled, `cache` keeps it compiled, `pool` holds the instances of the process. `engine`
alone touches wasmtime. `codings` is another module, with instances of its own: br and zstd where no library does them.
"""

from __future__ import annotations
