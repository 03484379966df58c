"""`protoc-gen-connectcore`: from the services of `.proto` files to Python.

    CodeGeneratorRequest -> _options -> _schema (what to generate, clashes found) -> _render (text) -> CodeGeneratorResponse

`_names` holds the rules by which names in `.proto` files become names in Python, for each message runtime.
"""

from __future__ import annotations
