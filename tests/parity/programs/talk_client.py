"""As the example `eliza_client` has it: an async client that makes a call of each kind."""

from __future__ import annotations

import asyncio
import sys

from connectrpc.errors import ConnectError
from talk.talk_connect import TalkServiceClient
from talk.talk_pb import Sentence


async def main():
    async with TalkServiceClient(sys.argv[1]) as client:
        response = await client.say(Sentence(text="no"))
        print(f"say: {response.text}")

        async for response in client.tell(Sentence(text="Ada")):
            print(f"tell: {response.text}")

        async def conversation():
            for text in ("one", "bye", "never said"):
                yield Sentence(text=text)

        async for response in client.converse(conversation()):
            print(f"converse: {response.text}")

        response = await client.listen(conversation())
        print(f"listen: {response.text}")

        try:
            await client.say(Sentence())
        except ConnectError as e:
            print(f"error: {e.code.value} {e.message}")


if __name__ == "__main__":
    asyncio.run(main())
