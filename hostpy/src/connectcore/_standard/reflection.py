"""gRPC's server reflection (grpc/grpc, doc/server-reflection.md), by which tools learn what a server can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, overload

from .._wasm import abi
from ..code import Code
from ..errors import ConnectError
from ..server import ConnectASGIApplication, ConnectWSGIApplication, Endpoint, EndpointSync
from .files import Files
from .messages import Named, message, method, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from ..interceptor import Interceptor, InterceptorSync
    from ..request import RequestContext

    Context = RequestContext[Any, Any]
    AnyApplication = ConnectASGIApplication[Any] | ConnectWSGIApplication

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
        files: descriptors of more files, such as `error_details_pb2.DESCRIPTOR`, so that tools can show what is in an `Any`.
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
    own = [service(f"{package}.ServerReflection") for package in _PACKAGES]
    described = [*(_descriptor(each) for each in applications), *own]
    names = sorted(each.path[1:] for each in applications) + [each.full_name for each in own]
    known = Files([*(each.file for each in described), *files])
    chosen = list(interceptors)
    make: Any = _ReflectionASGIApplication if kind is ConnectASGIApplication else _ReflectionWSGIApplication
    return (*applications, *(make(_Reflection(package, names, known), chosen) for package in _PACKAGES))


def _descriptor(application: AnyApplication) -> Any:
    """An application's service's descriptor, of either runtime."""
    found: Any = application.descriptor()
    if found is not None:
        return found
    # Code that an older plugin, or the official one, generated does not say it.
    from google.protobuf import descriptor_pool

    name = application.path[1:]
    try:
        return descriptor_pool.Default().FindServiceByName(name)
    except KeyError:
        raise ValueError(
            f"the descriptor of {name} is not to be found: generate its code anew, or import the module of its .proto file"
        ) from None


class _Reflection:
    """The service itself, in one of its packages."""

    def __init__(self, package: str, names: list[str], files: Files) -> None:
        self.name = f"{package}.ServerReflection"
        self.method = method(self.name, _METHOD)
        self._names = names
        self._files = files
        self._response = self.method.output
        self._error = message(f"{package}.ErrorResponse")

    def answer(self, request: Any, sent: set[str]) -> Any:
        """The response to one request of a stream, in which these files were sent before."""
        response = self._response(valid_host=request.host, original_request=request)
        asked: str | None = request.WhichOneof("message_request")
        if asked is None:
            raise ConnectError(Code.INVALID_ARGUMENT, "the request does not say what it wants to know")
        value: Any = getattr(request, asked)
        if asked == "list_services":
            for name in self._names:
                response.list_services_response.service.add(name=name)
        elif asked == "all_extension_numbers_of_type":
            numbers = self._files.extension_numbers(value)
            if numbers is None:
                return self._not_found(response, f"no message {value!r}")
            response.all_extension_numbers_response.base_type_name = value
            response.all_extension_numbers_response.extension_number.extend(numbers)
        else:
            file, wanted = self._file(asked, value)
            if file is None:
                return self._not_found(response, f"no {wanted}")
            response.file_descriptor_response.file_descriptor_proto.extend(self._files.with_imports(file, sent))
        return response

    def _file(self, asked: str, value: Any) -> tuple[str | None, str]:
        """The name of the file that is asked for, if there is one, and what the question was."""
        if asked == "file_by_filename":
            return value if self._files.by_name(value) else None, f"file {value!r}"
        if asked == "file_containing_symbol":
            return self._files.of_symbol(value), f"symbol {value!r}"
        number = value.extension_number
        return self._files.of_extension(value.containing_type, number), f"extension {number} of {value.containing_type!r}"

    def _not_found(self, response: Any, text: str) -> Any:
        error = self._error(error_code=abi.CODES.index(Code.NOT_FOUND.value), error_message=text)
        response.error_response.CopyFrom(error)
        return response


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
