from __future__ import annotations

import sys

from figures import PLACES

sys.path[:0] = PLACES
