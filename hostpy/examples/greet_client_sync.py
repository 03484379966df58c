"""Calls the example service from a thread: `python greet_client_sync.py http://127.0.0.1:8000 World`."""

from __future__ import annotations

import sys

from connectcore.errors import ConnectError
from greet.v1.greet_connectcore import GreetServiceClientSync
from greet.v1.greet_pb2 import GreetRequest


def main(url: str, name: str) -> None:
    with GreetServiceClientSync(url) as client:
        try:
            response = client.greet(GreetRequest(name=name))
        except ConnectError as error:
            print(f"error: {error.code.value}: {error.message}")
        else:
            print(response.greeting)


if __name__ == "__main__":
    main(*sys.argv[1:])
