"""What a function must be to serve a method, found out when the application is made, as far as the function shows it.

What it does not show, a call finds, and the log tells.
"""

from __future__ import annotations

import math
from types import CodeType, CoroutineType, MethodType
from typing import TYPE_CHECKING, Any, Final

from .._codec.messages import described, runtime_of
from ..method import StreamType

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..method import MethodInfo

__all__ = ["checked", "checked_sync", "missing", "wrong_reply"]

# Flags of code, as `inspect` has them, which takes long to import.
_GENERATOR: Final = 0x20
_COROUTINE: Final = 0x80
_ITERABLE_COROUTINE: Final = 0x100  # a generator that `types.coroutine` made one that can be awaited
_ASYNC_GENERATOR: Final = 0x200
_VARARGS: Final = 0x04

_MANY: Final = (StreamType.SERVER_STREAM, StreamType.BIDI_STREAM)
_ARGUMENTS: Final = 2


def checked(path: str, method: MethodInfo[Any, Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of an asynchronous handler, which says what is wrong where it gives no stream.

    Raises:
        TypeError: it cannot serve this method.

    """
    flags = _flags(path, function)
    if method.stream_type not in _MANY:
        if flags & _ASYNC_GENERATOR or (flags & _GENERATOR and not flags & _ITERABLE_COROUTINE):
            raise _yields(path)
        return function
    return function if flags & _ASYNC_GENERATOR else _streams(path, function, "__aiter__", "an async generator")


def checked_sync(path: str, method: MethodInfo[Any, Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a synchronous handler, which says what is wrong where it gives no stream.

    Raises:
        TypeError: it cannot serve this method, or is asynchronous: no loop runs under WSGI.

    """
    flags = _flags(path, function)
    if flags & (_COROUTINE | _ASYNC_GENERATOR):
        raise TypeError(f"the handler of {path} is asynchronous: serve it under ASGI, or make it a plain function")
    if method.stream_type not in _MANY:
        if flags & _GENERATOR:
            raise _yields(path)
        return function
    return function if flags & _GENERATOR else _streams(path, function, "__iter__", "a generator")


def missing(service: object, error: AttributeError) -> TypeError | None:
    """What to say where making the endpoints of a service failed; None where it was not because a handler is missing."""
    if error.obj is not service:
        return None
    return TypeError(
        f"{type(service).__qualname__} has no handler {error.name!r}: derive the service from the generated class, which "
        "answers the methods that you do not write"
    )


def wrong_reply(method: MethodInfo[Any, Any], reply: Any) -> TypeError:
    """What to say of a reply that is no message of the method's class."""
    hint = ""
    runtime = runtime_of(reply.__class__)
    if reply is None:
        hint = ": is a return missing?"
    elif isinstance(reply, CoroutineType):
        hint = ": is an await missing?"
    elif runtime is not None and runtime != runtime_of(method.output):
        hint = f": its class is of {runtime}, and the code was generated for {runtime_of(method.output)}"
    name = f"{method.service_name}.{method.name}"
    return TypeError(f"the handler of {name} gave {_named(reply)}, not {described(method.output)}{hint}")


def _named(reply: Any) -> str:
    """What a handler gave, for people."""
    if isinstance(reply, CoroutineType):
        reply.close()  # so that nobody is told that it was not awaited, too
        return f"the coroutine {reply.__qualname__}"
    return "None" if reply is None else described(reply.__class__)


def _flags(path: str, function: Any) -> int:
    """The flags of a function's code. Raises TypeError where it does not take what handlers get."""
    plain = function.__func__ if isinstance(function, MethodType) else function
    code = getattr(plain, "__code__", None)
    if not isinstance(code, CodeType):
        return 0
    given = _ARGUMENTS + (plain is not function)
    least = code.co_argcount - len(plain.__defaults__ or ())
    most = math.inf if code.co_flags & _VARARGS else code.co_argcount
    if not least <= given <= most:
        hint = (
            "; is the service a class in place of an instance?"
            if plain is function and code.co_varnames[:1] == ("self",)
            else ""
        )
        raise TypeError(f"the handler of {path} must take two arguments, a request and a context{hint}")
    return code.co_flags


def _yields(path: str) -> TypeError:
    return TypeError(f"the handler of {path} yields, but the method gives one response: return it")


def _streams(path: str, function: Callable[..., Any], wanted: str, kind: str) -> Callable[..., Any]:
    def call(request: Any, ctx: Any) -> Any:
        replies = function(request, ctx)
        # A message of protobuf-py is iterable itself.
        if hasattr(replies, wanted) and runtime_of(replies.__class__) is None:
            return replies
        raise TypeError(
            f"the handler of {path} returned {_named(replies)}, but the method gives a stream: yield each response, in {kind}"
        )

    return call
