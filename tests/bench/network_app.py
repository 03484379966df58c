"""The application `app` that a benchmark's server serves; BENCH says whose it is, and of which row of the table.

Each contender runs on the same interpreter under the same server: the peer's packages are added to what is here.
"""

from __future__ import annotations

import os
import sys

from contenders import application
from network_rows import ROWS
from workers import CACHE

contender, name = os.environ["BENCH"].split("|")
if contender == "peer":
    sys.path += map(str, (CACHE / "peer/lib").glob("python*/site-packages"))
app = application(contender, ROWS[name].served())
