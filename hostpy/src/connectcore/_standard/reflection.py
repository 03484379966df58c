"""gRPC's server reflection (grpc/grpc, doc/server-reflection.md), by which tools learn what a server can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, overload

from .._server.wsgi_request import DUPLEX
from .._wasm import abi
from ..code import Code
from ..errors import ConnectError
from ..server import ConnectASGIApplication, ConnectWSGIApplication, Endpoint, EndpointSync
from .files import Files
from .messages import Named, chosen, make, message, method, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from ..interceptor import Interceptor, InterceptorSync
    from ..request import RequestContext

    Context = RequestContext[Any, Any]

__all__ = ["with_reflection"]

_PACKAGES: Final = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
_METHOD: Final = "ServerReflectionInfo"


@overload
def with_reflection(
    *applications: ConnectASGIApplication[Any], files: Iterable[Any] = (), interceptors: Iterable[Interceptor] = ()
) -> tuple[ConnectASGIApplication[Any], ...]: ...


@overload
def with_reflection(
    *applications: ConnectWSGIApplication, files: Iterable[Any] = (), interceptors: Iterable[InterceptorSync] = ()
) -> tuple[ConnectWSGIApplication, ...]: ...


def with_reflection(*applications: Any, files: Iterable[Any] = (), interceptors: Iterable[Any] = ()) -> tuple[Any, ...]:
    """The applications, and two more that tell of them: `grpc.reflection.v1.ServerReflection`, and `v1alpha` for older tools.

    Give all of them to one router: `ConnectASGIRouter(*with_reflection(greet, health))`.

    Only what the applications' services use is told: their files, and what these import.

    Args:
        applications: generated applications, all for ASGI or all for WSGI.
        files: descriptors of more files, such as `error_details_pb2.DESCRIPTOR` or `error_details_pb.desc()`, so that tools can
            show what is in an `Any`. Where a service's code does not say its descriptor, also the file that declares it.
        interceptors: around the calls of the reflection services, the first outermost.

    Raises:
        ValueError: there is no application, or the service's descriptor of one is not to be found.
        TypeError: one is no application, or they are of both kinds.

    """
    if not applications:
        raise ValueError("reflection needs at least one application to tell of")
    kind = next((kind for kind in (ConnectASGIApplication, ConnectWSGIApplication) if isinstance(applications[0], kind)), None)
    for each in applications:
        if kind is None or not isinstance(each, kind):
            raise TypeError(f"reflection tells of generated applications, all for ASGI or all for WSGI, not of {each!r}")
    descriptors: dict[str, Any] = {each.path[1:]: each.descriptor() for each in applications}
    own = {name: service(name) for name in (f"{package}.ServerReflection" for package in _PACKAGES)}
    known = Files([*(each.file for each in (*descriptors.values(), *own.values()) if each is not None), *files])
    for name in descriptors:
        # Code that an older plugin, or the official one, generated does not say its descriptor.
        if known.of_symbol(name) is None:
            known.add(_registered(name).file)
    names = [*sorted(descriptors), *own]
    around = list(interceptors)
    own_kind: Any = _ReflectionASGIApplication if kind is ConnectASGIApplication else _ReflectionWSGIApplication
    return (*applications, *(own_kind(_Reflection(package, names, known), around) for package in _PACKAGES))


def _registered(name: str) -> Any:
    """The descriptor of a service whose module of Google's messages is imported. `protobuf-py` keeps no such list."""
    try:
        from google.protobuf import descriptor_pool

        return descriptor_pool.Default().FindServiceByName(name)
    except (ImportError, KeyError):
        raise ValueError(
            f"the descriptor of {name} is not to be found: generate its code anew, or give the file that declares it, as in "
            "with_reflection(…, files=[greet_pb2.DESCRIPTOR]); of protobuf-py, files=[greet_pb.desc()]"
        ) from None


class _Reflection:
    """The service itself, in one of its packages."""

    def __init__(self, package: str, names: list[str], files: Files) -> None:
        self.name = f"{package}.ServerReflection"
        self.method = method(self.name, _METHOD)
        self._package = package
        self._names = names
        self._files = files

    def answer(self, request: Any, sent: set[str]) -> Any:
        """The response to one request of a stream, in which these files were sent before."""
        question = chosen(request, "message_request")
        if question is None:
            raise ConnectError(Code.INVALID_ARGUMENT, "the request does not say what it wants to know")
        field, answer = self._answer(*question, sent)
        return make(self.method.output, valid_host=request.host, original_request=request, **{field: answer})

    def _answer(self, asked: str, value: Any, sent: set[str]) -> tuple[str, Any]:
        """Which field of the response answers, and the message in it."""
        if asked == "list_services":
            services = [self._message("ServiceResponse", name=name) for name in self._names]
            return "list_services_response", self._message("ListServiceResponse", service=services)
        if asked == "all_extension_numbers_of_type":
            numbers = self._files.extension_numbers(value)
            if numbers is None:
                return self._not_found(f"no message {value!r}")
            known = self._message("ExtensionNumberResponse", base_type_name=value, extension_number=numbers)
            return "all_extension_numbers_response", known
        file, wanted = self._file(asked, value)
        if file is None:
            return self._not_found(f"no {wanted}")
        files = self._message("FileDescriptorResponse", file_descriptor_proto=self._files.with_imports(file, sent))
        return "file_descriptor_response", files

    def _file(self, asked: str, value: Any) -> tuple[str | None, str]:
        """The name of the file that is asked for, if there is one, and what the question was."""
        if asked == "file_by_filename":
            return value if self._files.by_name(value) else None, f"file {value!r}"
        if asked == "file_containing_symbol":
            return self._files.of_symbol(value), f"symbol {value!r}"
        number = value.extension_number
        return self._files.of_extension(value.containing_type, number), f"extension {number} of {value.containing_type!r}"

    def _not_found(self, text: str) -> tuple[str, Any]:
        code = abi.CODES.index(Code.NOT_FOUND.value)
        return "error_response", self._message("ErrorResponse", error_code=code, error_message=text)

    def _message(self, which: str, /, **fields: Any) -> Any:
        """A message of the package."""
        return make(message(f"{self._package}.{which}"), **fields)


class _ReflectionASGIApplication(Named, ConnectASGIApplication[_Reflection]):
    def __init__(self, reflection: _Reflection, interceptors: Iterable[Interceptor]) -> None:
        async def info(requests: AsyncIterator[Any], _: Context) -> AsyncIterator[Any]:
            sent: set[str] = set()
            async for request in requests:
                yield reflection.answer(request, sent)

        self._name = reflection.name
        super().__init__(
            service=reflection,
            endpoints=lambda _: {f"{self.path}/{_METHOD}": Endpoint.bidi_stream(reflection.method, info)},
            interceptors=interceptors,
        )


class _ReflectionWSGIApplication(Named, ConnectWSGIApplication):
    def __init__(self, reflection: _Reflection, interceptors: Iterable[InterceptorSync]) -> None:
        def info(requests: Iterator[Any], _: Context) -> Iterator[Any]:
            sent: set[str] = set()
            for request in requests:
                yield reflection.answer(request, sent)

        self._name = reflection.name
        super().__init__(
            endpoints={f"{self.path}/{_METHOD}": EndpointSync.bidi_stream(reflection.method, info)},
            interceptors=interceptors,
        )

    def __call__(self, environ: dict[str, Any], *others: Any, **more: Any) -> Iterable[bytes]:
        """Serve one request: over HTTP/2 a conversation, in which tools ask on when they have an answer."""
        if not environ.get("SERVER_PROTOCOL", "HTTP/1.1").startswith("HTTP/1"):
            content = environ["wsgi.input"]
            if not hasattr(content, "read1"):
                content = _ByteByByte(content)
            environ = {**environ, DUPLEX: True, "wsgi.input": content}
        return super().__call__(environ, *others, **more)


class _ByteByByte:
    """Content of a server that has no `read1`. Its `read` waits until all has come that it was asked for, and nobody knows how
    long a question is. So each byte is read for itself: it has few.
    """

    def __init__(self, content: Any) -> None:
        self.read = content.read

    def read1(self, _size: int) -> bytes:
        """The next byte; nothing where the content ends."""
        data: bytes = self.read(1)
        return data
