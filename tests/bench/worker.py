"""One contender in a process of its own: `worker.py CONTENDER CASE...`.

Says `ready` when one call of each case was answered as it wants, or why not; then answers each line `N CASE`, or `N` for the
first case, with the CPU nanoseconds of N calls, until its input ends. One case alone is warm before it says so; several share
their applications, and none is called more than it is asked for.
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

from cases import CASES
from contenders import application
from drivers import driver

if TYPE_CHECKING:
    from drivers import AsgiDriver, WsgiDriver

WARM_UP_NS = 100_000_000


def main() -> None:
    contender, *names = sys.argv[1:]
    applications: dict[tuple[str, bool], Any] = {}
    players: dict[str, AsgiDriver | WsgiDriver] = {}
    try:
        for name in names:
            case = CASES[name]
            kind = case.interface, case.noted
            if kind not in applications:
                applications[kind] = application(contender, case)
            players[name] = driver(applications[kind], case)
            players[name].check()
        if len(names) == 1:
            player = players[names[0]]
            spent, calls = 0, 1
            while spent < WARM_UP_NS:
                spent += player.run(calls)
                calls = min(2 * calls, 256)
            player.check()
    except Exception as error:  # any failure is the contender's answer
        print(f"cannot: {type(error).__name__}: {error}".replace("\n", " ")[:300], flush=True)
    else:
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        for line in sys.stdin:
            number, _, name = line.strip().partition(" ")
            print(players[name or names[0]].run(int(number)), flush=True)
    for player in players.values():
        player.close()


main()
