"""The services that come with the package: gRPC's health service and server reflection.

They are written as a user's services are. `messages` makes their message classes from `descriptors`; `health` and `reflection`
are the services, `files` is what reflection tells.
"""

from __future__ import annotations
