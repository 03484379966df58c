"""Where calls go, and how: the options of `call` and `inspect`, and the clients that they make."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from .._headers import Headers
from ..client import ConnectClientSync
from ..codec import proto_binary_codec, proto_json_codec
from ..compression.brotli import BrotliCompression
from ..compression.deflate import DeflateCompression
from ..compression.gzip import GzipCompression
from ..compression.snappy import SnappyCompression
from ..compression.zstd import ZstdCompression
from ..protocol import ProtocolType
from .problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .._transport.transport import TransportSync
    from .schema import Schema

__all__ = ["CODECS", "COMPRESSIONS", "PROTOCOLS", "Connection", "connection_options", "metadata", "where"]

PROTOCOLS: Final = {each.name.lower().replace("_", "-"): each for each in ProtocolType}
COMPRESSIONS: Final[dict[str, Any]] = {
    kind().name(): kind for kind in (GzipCompression, BrotliCompression, ZstdCompression, DeflateCompression, SnappyCompression)
}
CODECS: Final = ("proto", "json")

_FILE: Final = click.Path(exists=True, dir_okay=False)
_OPTIONS: Final = (
    click.option("-p", "--protocol", type=click.Choice(list(PROTOCOLS)), default="connect", show_default=True),
    click.option("--codec", type=click.Choice(CODECS), default="proto", show_default=True, help="How messages travel."),
    click.option(
        "-H", "--header", multiple=True, metavar="'NAME: VALUE'", help="Metadata to send; values of -bin names as base64."
    ),
    click.option("-t", "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="For the whole call."),
    click.option("--get", is_flag=True, help="Send an HTTP GET, for a method without side effects."),
    click.option("--compress", type=click.Choice(list(COMPRESSIONS)), help="What requests are compressed with; nothing else."),
    click.option(
        "--accept",
        multiple=True,
        type=click.Choice([*COMPRESSIONS, "none"]),
        help="What responses may be compressed with, the most preferred first; gzip else.",
    ),
    click.option("--max-bytes", type=click.IntRange(min=1), help="Most bytes of a received message; 4 MiB else."),
    click.option("--http", "http_version", type=click.Choice(["1.1", "2"]), help="The only HTTP version to speak."),
    click.option("--ca", type=_FILE, help="Certificates of the authorities to trust, in PEM, in the place of the system's."),
    click.option("--cert", type=_FILE, help="A certificate to show to the server, in PEM."),
    click.option("--key", type=_FILE, help="Its key, if that is not in the same file."),
    click.option("--insecure", is_flag=True, help="Do not check the server's certificate."),
    click.option("--unix-socket", type=click.Path(), help="Connect to this Unix socket, whatever the address."),
)


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command with the options of a `Connection`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Connection:
    """What the options say; each field is one."""

    address: str
    protocol: str
    codec: str
    header: Sequence[str]
    timeout: float | None
    get: bool
    compress: str | None
    accept: Sequence[str]
    max_bytes: int | None
    http_version: Any
    ca: str | None
    cert: str | None
    key: str | None
    insecure: bool
    unix_socket: str | None

    def transport(self) -> TransportSync:
        """What sends requests. Raises ProblemError and UsageError."""
        try:
            from .._transport.http.sync_transport import HTTPTransportSync
        except ImportError as error:
            raise ProblemError(f"this command sends by the package zttp, which is not here ({error})") from error
        return HTTPTransportSync(
            http_version=self.http_version,
            ssl_context=self._tls(),
            unix_socket=self.unix_socket,
        )

    def client(self, transport: TransportSync, schema: Schema | None = None, timeout: float | None = None) -> ConnectClientSync:
        """A client. Raises UsageError."""
        pool = None if schema is None else schema.pool
        options: dict[str, Any] = {} if self.max_bytes is None else {"read_max_bytes": self.max_bytes}
        try:
            return ConnectClientSync(
                self.address,
                protocol=PROTOCOLS[self.protocol],
                codec=proto_json_codec(pool) if self.codec == "json" else proto_binary_codec(),
                accept_compression=self._accepted(),
                send_compression=None if self.compress is None else COMPRESSIONS[self.compress](),
                timeout=timeout,
                http_client=transport,
                **options,
            )
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    def _accepted(self) -> list[Any] | None:
        if "none" in self.accept:
            return []
        return [COMPRESSIONS[name]() for name in dict.fromkeys(self.accept)] or None

    def _tls(self) -> ssl.SSLContext | None:
        if self.key and not self.cert:
            raise click.UsageError("--key is the key of a certificate: give --cert, too")
        if not (self.ca or self.cert or self.insecure):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise click.UsageError(f"the certificates are no good PEM: {error}") from None
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def where(address: str, method: str | None) -> tuple[str, str]:
    """The server's URL and the method's name, from what the user wrote. Raises UsageError.

    Without a scheme a loopback address is called over http, any other over https.
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "", address
    authority, _, path = rest.partition("/")
    if method is None:
        parts = path.strip("/").split("/")
        if len(parts) < 2:
            raise click.UsageError("no method: give it as package.Service/Method, as the second argument or the URL's path")
        method, path = "/".join(parts[-2:]), "/".join(parts[:-2])
    url = f"{scheme or ('http' if _loopback(authority) else 'https')}://{authority}"
    return (f"{url}/{path}" if path else url), method


def _loopback(authority: str) -> bool:
    host = authority if authority.endswith("]") or ":" not in authority else authority.rpartition(":")[0]
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def metadata(lines: Iterable[str]) -> Headers:
    """Headers, from lines `name: value`. Raises UsageError."""
    found = Headers()
    for line in lines:
        name, mark, value = line.partition(":")
        if not mark:
            raise click.UsageError(f"the header {line!r} is not 'name: value'")
        try:
            found.add(name.strip().lower(), value.strip())
        except ValueError as error:
            raise click.UsageError(f"the header {name.strip()!r}: {error}") from None
    return found
