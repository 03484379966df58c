"""One contender in a process of its own: `worker.py CONTENDER CASE`.

Says `ready` when one call was answered as the case wants, or why not; then answers each line `N` with the CPU
nanoseconds of N calls, until its input ends.
"""

from __future__ import annotations

import gc
import sys

from cases import CASES
from contenders import application
from drivers import driver

WARM_UP_NS = 100_000_000


def main() -> None:
    contender, name = sys.argv[1:]
    case = CASES[name]
    player = None
    try:
        player = driver(application(contender, case), case)
        player.check()
        spent, calls = 0, 1
        while spent < WARM_UP_NS:
            spent += player.run(calls)
            calls = min(2 * calls, 256)
        player.check()
    except Exception as error:  # any failure is the contender's answer
        print(f"cannot: {type(error).__name__}: {error}".replace("\n", " ")[:300], flush=True)
        if player:
            player.close()
        return
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        print(player.run(int(line)), flush=True)
    player.close()


main()
