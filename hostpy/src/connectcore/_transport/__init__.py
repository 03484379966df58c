"""What sends a client's requests: `transport` says what a client asks, and the others do it.

`pyqwest` sends them over the network (`pyqwest_cancel`: so that another thread can abort one), `app` to an application in
this process.
"""

from __future__ import annotations
