"""The engine: the protocol module (`connectcore.wasm`), its instances, and what is said to them.

    commands -> records (bytes) -> guest (one step of an instance) -> bytes -> events

`abi` holds the numbers of the interface (wasm/ABI.md, generated), `records` and `events` the two directions of what is said,
`client_records` the same in one go for usual unary calls, and `content` what the guest names instead of carrying it.
`module` finds and compiles the module, `cache` keeps it compiled, `guest` is one instance, `pool` the instances of the process.
"""

from __future__ import annotations
