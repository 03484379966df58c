"""A whole process of a contender: imports, makes a client, makes one call. `firstclientcall.py CONTENDER MODE URL`.

MODE is async or sync. Prints CPU milliseconds of the import and of what follows, generated code included, and the resident size
in MiB.
"""

from __future__ import annotations

import importlib
import resource
import sys
import time
from typing import Any

contender, mode, url = sys.argv[1:]
start = time.process_time()
importlib.import_module("connectrpc.client" if contender == "peer" else "connectcore.client")
imported = time.process_time()

generated = importlib.import_module("greet.v1.greet_connect" if contender == "peer" else "greet.v1.greet_connectcore")
messages = importlib.import_module("greet.v1.greet_pb")
request = messages.GreetRequest(name="Ada")

if mode == "async":
    import asyncio

    async def call() -> Any:
        return await generated.GreetServiceClient(url).greet(request)

    reply = asyncio.run(call())
else:
    reply = generated.GreetServiceClientSync(url).greet(request)
called = time.process_time()
if "Ada" not in reply.greeting:
    raise ValueError(f"a wrong answer: {reply.greeting[:80]!r}")
resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print((imported - start) * 1e3, (called - imported) * 1e3, resident)
