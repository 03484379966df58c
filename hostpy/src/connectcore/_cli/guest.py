"""What the module knows of calls, asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._wasm import abi, records
from .._wasm.pool import POOL

if TYPE_CHECKING:
    from .._client.config import ClientConfig
    from .._client.procedure import Procedure

__all__ = ["prefix_of"]


def prefix_of(config: ClientConfig, procedure: Procedure) -> int:
    """How many bytes stand before each message of a call; 0 where content is one message, or text. Raises ValueError."""
    instance = POOL.pick()
    handle = config.handle_in(instance)
    batch = records.open_client(handle, 0, procedure.attributes, 0, abi.NO_TIMEOUT, procedure.path)
    inline = abi.SEND_INLINE if config.inline(0) else 0
    events = instance.tell(batch + records.send(0, inline, [0]) + records.end(0))
    prefix = max((event.prefix for event in events if isinstance(event, records.HttpBody)), default=0)
    instance.later(records.close(events[0].handle))
    return prefix
