"""A plugin of pytest: health and reflection have the messages of `protobuf-py`, as where Google's are not installed."""

from __future__ import annotations

import sys

sys.modules["connectcore._standard.messages_google"] = None  # type: ignore[assignment]  # an import of it fails

from connectcore._codec.messages import is_protobuf_py  # noqa: E402
from connectcore._standard.messages import message  # noqa: E402

assert is_protobuf_py(message("grpc.health.v1.HealthCheckRequest"))
