"""For the tests of those who write services and clients: clients without a network, and fake servers.

    async with client(GreetServiceClient, GreetServiceASGIApplication(Greeter())) as greet: ...

    fake = Fake(GreetServiceASGIApplication, {"greet": GreetResponse(greeting="Hello")})
    async with client(GreetServiceClient, fake.app) as greet: ...

`connectcore.testing.plugin` has both as fixtures of pytest.
"""

from __future__ import annotations

from .fake import Call, Fake
from .in_memory import client

__all__ = ["Call", "Fake", "client"]
