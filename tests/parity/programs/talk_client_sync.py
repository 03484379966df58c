"""As the example `eliza_client_sync` has it: a client for threads."""

from __future__ import annotations

import sys

from talk.talk_connect import TalkServiceClientSync
from talk.talk_pb import Sentence


def main():
    with TalkServiceClientSync(sys.argv[1]) as client:
        response = client.say(Sentence(text="no"))
        print(f"say: {response.text}")

        for response in client.tell(Sentence(text="Ada")):
            print(f"tell: {response.text}")


if __name__ == "__main__":
    main()
