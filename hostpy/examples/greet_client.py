"""Calls the example service from asyncio: `python greet_client.py http://127.0.0.1:8000 World`."""

from __future__ import annotations

import asyncio
import sys

from connectcore.errors import ConnectError
from greet.v1.greet_connectcore import GreetServiceClient
from greet.v1.greet_pb2 import GreetRequest


async def main(url: str, name: str) -> None:
    async with GreetServiceClient(url) as client:
        try:
            response = await client.greet(GreetRequest(name=name))
        except ConnectError as error:
            print(f"error: {error.code.value}: {error.message}")
        else:
            print(response.greeting)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
