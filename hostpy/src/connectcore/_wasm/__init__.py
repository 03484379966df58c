"""The engine: the protocol module (`connectcore.wasm`), its instances, and what is said to them.

    commands -> records (bytes) -> guest (one step of an instance) -> records -> events

`abi` holds the numbers of the interface and `records` its one writer and reader (both are made from the table of wasm/ABI.md);
`columns` joins and splits what stands in a record, and `content` holds what the guest names instead of carrying it.
`module` finds and compiles the module, `cache` keeps it compiled, `guest` is one instance, `pool` the instances of the process.
"""

from __future__ import annotations
