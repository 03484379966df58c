"""The suite's service as applications, `asgi` and `wsgi`, for servers that import them, maybe in another process."""

from __future__ import annotations

import os
from typing import Any

import setup

setup.ensure()

from connectcore.server import DEFAULT_READ_MAX_BYTES  # noqa: E402
from connectrpc.conformance.v1.service_connectcore import (  # type: ignore[import-not-found]  # noqa: E402
    ConformanceServiceASGIApplication,
    ConformanceServiceWSGIApplication,
)

from codings import codings  # noqa: E402
from service import Service, ServiceSync  # noqa: E402

READ_MAX, MODULES = "CONFORMANCE_READ_MAX", "CONFORMANCE_MODULES"
"""Variables of the environment: bytes in a message, and whether this package's modules do all codings."""

_options: dict[str, Any] = {
    "read_max_bytes": int(os.environ.get(READ_MAX) or DEFAULT_READ_MAX_BYTES),
    "compressions": [*codings(modules=MODULES in os.environ).values()],
}

asgi: Any = ConformanceServiceASGIApplication(Service(), **_options)
wsgi: Any = ConformanceServiceWSGIApplication(ServiceSync(), **_options)
