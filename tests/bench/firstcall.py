"""A whole process of a contender: imports, makes an application, answers one call. `firstcall.py CONTENDER INTERFACE`.

Prints CPU milliseconds of the import and of what follows, and the resident size in MiB.
"""

from __future__ import annotations

import importlib
import resource
import sys
import time

contender, interface = sys.argv[1:]
start = time.process_time()
importlib.import_module("connectrpc.server" if contender == "peer" else "connectcore.server")
imported = time.process_time()

from cases import CASES  # noqa: E402
from contenders import application  # noqa: E402
from drivers import driver  # noqa: E402

harness = time.process_time()
case = CASES["unary52" if interface == "asgi" else "wsgi52"]
player = driver(application(contender, case), case)
player.check()
called = time.process_time()
resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print((imported - start) * 1e3, (called - harness) * 1e3, resident)
player.close()
