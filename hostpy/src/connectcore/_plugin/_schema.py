"""What is to be generated, taken from the request and checked: after this nothing can clash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _names
from ._imports import MessageModules
from ._options import Messages
from ._problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        FileDescriptorProto,
        MethodDescriptorProto,
        ServiceDescriptorProto,
    )

    from ._imports import Import
    from ._options import Options

__all__ = ["File", "Method", "Service", "read_request"]

# Field numbers in descriptor.proto, of which SourceCodeInfo's paths are made.
_FILE_SERVICE = 6
_SERVICE_METHOD = 2

_SUFFIXES = ("", "Sync", "ASGIApplication", "WSGIApplication", "Client", "ClientSync")


@dataclass(frozen=True, slots=True)
class Method:
    """One procedure."""

    name: str
    """As in the `.proto` file."""
    python_name: str
    constant: str
    """The module's name for its `MethodInfo`."""
    request: str
    """The expression for its request class."""
    response: str
    client_stream: bool
    server_stream: bool
    idempotency: str
    """The name of a member of `IdempotencyLevel`."""
    deprecated: bool
    doc: str


@dataclass(frozen=True, slots=True)
class Service:
    """One service."""

    name: str
    """As in the `.proto` file."""
    full_name: str
    python_name: str
    methods: Sequence[Method]
    deprecated: bool
    doc: str


@dataclass(frozen=True, slots=True)
class File:
    """One file of output."""

    path: str
    proto_file: str
    messages: Messages
    services: Sequence[Service]
    imports: Sequence[Import]
    own_module: str
    """What the code of the file's own messages is imported as; empty where Python cannot import it."""


@dataclass(frozen=True, slots=True)
class _Message:
    file: str
    path: list[str]


def read_request(request: CodeGeneratorRequest, options: Options) -> list[File]:
    """The files to generate, in the request's order; those without services give none.

    Raises:
        ProblemError: names clash, or cannot be written in Python.

    """
    by_name = {file.name: file for file in request.proto_file}
    messages = {name: message for file in request.proto_file for name, message in _messages(file)}
    files: list[File] = []
    outputs: dict[str, str] = {}
    for name in request.file_to_generate:
        if name not in by_name:
            raise ProblemError(f"the request asks for {name!r} and does not describe it")
        proto = by_name[name]
        if not proto.service:
            continue
        file = _read_file(proto, messages, options)
        if file.path in outputs:
            raise ProblemError(
                f"{outputs[file.path]} and {name} would both be generated as {file.path}: rename one of the files"
            )
        outputs[file.path] = name
        files.append(file)
    return files


def _read_file(proto: FileDescriptorProto, messages: dict[str, _Message], options: Options) -> File:
    base = _names.google_module if options.messages is Messages.GOOGLE else _names.protobuf_py_module
    path = "/".join(base(proto.name)) + "_connectcore.py"
    docs = _comments(proto)
    modules = MessageModules(proto.name, options)
    taken: dict[str, str] = {}
    for service in proto.service:
        python_name = _names.service_name(service.name)
        for suffix in _SUFFIXES:
            what = f"the service {service.name}" if not suffix else f"the class {python_name}{suffix} of service {service.name}"
            if other := taken.get(python_name + suffix):
                raise ProblemError(
                    f"{proto.name}: {other} and {what} would have the same name in Python; rename one of the services, or "
                    "move it to a file of its own"
                )
            taken[python_name + suffix] = what

    def expression(service: str, method: str, type_name: str) -> str:
        message = messages.get(type_name)
        if message is None:
            raise ProblemError(f"{proto.name}: the request does not describe {type_name}, which {service}.{method} uses")
        if options.messages is Messages.PROTOBUF_PY:
            name = _names.protobuf_py_class(message.path)
        else:
            written = _names.google_class(message.path)
            if written is None:
                raise ProblemError(
                    f"{proto.name}: {service}.{method} uses the message {type_name.lstrip('.')}, whose name Python code cannot "
                    "write; rename the message, or generate with messages=protobuf-py, which gives such messages another name"
                )
            name = written
        return f"{modules.use(message.file)}.{name}"

    constants = set(taken)

    def constant(name: str) -> str:
        while name in constants:
            name += "_"
        constants.add(name)
        return name

    services: list[Service] = []
    for index, service in enumerate(proto.service):
        full_name = f"{proto.package}.{service.name}" if proto.package else service.name
        python_name = _names.service_name(service.name)
        methods: list[Method] = []
        names = _method_names(proto, service)
        for method_index, (method, name) in enumerate(zip(service.method, names, strict=True)):
            methods.append(
                Method(
                    name=method.name,
                    python_name=name,
                    constant=constant(f"_{python_name}_{name}_method"),
                    request=expression(service.name, method.name, method.input_type),
                    response=expression(service.name, method.name, method.output_type),
                    client_stream=method.client_streaming,
                    server_stream=method.server_streaming,
                    idempotency=_idempotency(method),
                    deprecated=method.options.deprecated,
                    doc=docs.get((_FILE_SERVICE, index, _SERVICE_METHOD, method_index), ""),
                )
            )
        services.append(
            Service(
                name=service.name,
                full_name=full_name,
                python_name=python_name,
                methods=methods,
                deprecated=service.options.deprecated,
                doc=docs.get((_FILE_SERVICE, index), ""),
            )
        )
    try:
        own_module = modules.use(proto.name)
    except ProblemError:
        if options.messages is Messages.PROTOBUF_PY:
            raise
        own_module = ""  # all messages that its services use are other files'
    return File(path, proto.name, options.messages, services, modules.imports(), own_module)


def _method_names(proto: FileDescriptorProto, service: ServiceDescriptorProto) -> list[str]:
    names: dict[str, str] = {}
    for method in service.method:
        name = _names.method_name(method.name)
        if name in names:
            raise ProblemError(
                f"{proto.name}: the methods {names[name]} and {method.name} of service {service.name} would both be called "
                f"{name} in Python; rename one of them"
            )
        names[name] = method.name
    return list(names)


def _idempotency(method: MethodDescriptorProto) -> str:
    levels = {0: "UNKNOWN", 1: "NO_SIDE_EFFECTS", 2: "IDEMPOTENT"}
    return levels.get(method.options.idempotency_level, "UNKNOWN")


def _messages(file: FileDescriptorProto) -> Iterator[tuple[str, _Message]]:
    prefix = f".{file.package}" if file.package else ""
    for message in file.message_type:
        yield from _nested(file.name, prefix, [], message)


def _nested(file: str, prefix: str, outer: list[str], message: DescriptorProto) -> Iterator[tuple[str, _Message]]:
    path = [*outer, message.name]
    yield f"{prefix}.{'.'.join(path)}", _Message(file, path)
    for nested in message.nested_type:
        yield from _nested(file, prefix, path, nested)


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    return {
        tuple(location.path): location.leading_comments
        for location in file.source_code_info.location
        if location.leading_comments.strip()
    }
