"""gRPC's server reflection, by which grpcurl, `buf curl` and other tools call a server without its `.proto` files.

    app = ConnectASGIRouter(*with_reflection(GreetServiceASGIApplication(Greeter())))

The service is a bidi stream. Most tools speak it by gRPC, over HTTP/2, and want each answer before they ask on; so it needs a
server that carries both directions at once, as pyvoy does under WSGI, too. Over HTTP/1.1 all questions are asked before the
first is answered.
"""

from __future__ import annotations

from ._standard.reflection import with_reflection

__all__ = ["with_reflection"]
