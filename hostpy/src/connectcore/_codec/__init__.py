"""Messages as bytes: `codec` holds protobuf's two forms, `messages` tells the two message runtimes apart.

`json_google` and `json_protobuf_py` are the JSON form for each runtime.
"""

from __future__ import annotations
