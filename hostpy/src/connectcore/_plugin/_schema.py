"""What is to be generated, taken from the request and checked: after this nothing can clash.

The request's classes are of either message runtime. They are typed as Google's, and differ in one thing that matters here:
where options, or a file's comments, were not sent, `protobuf-py` gives None.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import _names
from ._imports import MessageModules
from ._options import IO, Messages
from ._problem import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

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

# What the names of a service's classes end with.
_SUFFIXES_ASYNC = ("", "ASGIApplication", "Client")
_SUFFIXES_SYNC = ("Sync", "WSGIApplication", "ClientSync")
_SUFFIXES = {IO.BOTH: (*_SUFFIXES_ASYNC, *_SUFFIXES_SYNC), IO.ASYNC: _SUFFIXES_ASYNC, IO.SYNC: _SUFFIXES_SYNC}


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
    note: str
    """What the person who ran protoc or buf should know of it; empty for nothing."""


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
    if unknown := [name for name in request.file_to_generate if name not in by_name]:
        raise ProblemError(f"the request asks for {unknown[0]!r} and does not describe it")
    _check_names([by_name[name] for name in request.file_to_generate], options)
    files: list[File] = []
    outputs: dict[str, str] = {}
    for name in request.file_to_generate:
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
    path = "/".join(_names.module(proto.name, options)) + f"{options.suffix}.py"
    docs = _comments(proto)
    modules = MessageModules(proto.name, options)
    taken: dict[str, str] = {}
    prefix = f"{proto.package}." if proto.package else ""
    for service in proto.service:
        python_name = _service_name(prefix + service.name, service.name, options)
        for suffix in _SUFFIXES[options.io]:
            what = f"the service {service.name}" if not suffix else f"the class {python_name}{suffix} of service {service.name}"
            if other := taken.get(python_name + suffix):
                raise ProblemError(
                    f"{proto.name}: {other} and {what} would have the same name in Python; rename one of the services, or "
                    f"move it to a file of its own, or give it another name in Python by the option "
                    f"name={prefix}{service.name}=<name>"
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
        full_name = prefix + service.name
        python_name = _service_name(full_name, service.name, options)
        methods: list[Method] = []
        names = _method_names(proto, service, full_name, options)
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
                    deprecated=_deprecated(method),
                    doc=docs.get((_FILE_SERVICE, index, _SERVICE_METHOD, method_index), ""),
                )
            )
        services.append(
            Service(
                name=service.name,
                full_name=full_name,
                python_name=python_name,
                methods=methods,
                deprecated=_deprecated(service),
                doc=docs.get((_FILE_SERVICE, index), ""),
            )
        )
    try:
        own_module = modules.use(proto.name)
    except ProblemError:
        if options.messages is Messages.PROTOBUF_PY:
            raise
        own_module = ""  # all messages that its services use are other files'
    note = _note(proto.name, path, modules.from_root, options)
    return File(path, proto.name, options.messages, services, modules.imports(), own_module, note)


def _note(proto_file: str, path: str, from_root: str, options: Options) -> str:
    if options.messages is Messages.PROTOBUF_PY:
        if not from_root:
            return ""
        return (
            f"{path} finds the code of {from_root} by way of the output's directory, as the code of {proto_file} by "
            "protoc-gen-py does: that directory must be a package. To put it on sys.path itself, give map_imports=**: to "
            "both plugins. imports=relative silences this"
        )
    top = path.partition("/")[0]
    if top in sys.stdlib_module_names or top == "connectcore":
        owner = "this package" if top == "connectcore" else "Python's standard library"
        return (
            f"{path} cannot be imported while its directory {top} is at the top of the output, because {owner} has that name; "
            f"move the .proto files below a directory of another name, as acme/{proto_file}"
        )
    return ""


def _service_name(full_name: str, name: str, options: Options) -> str:
    given = options.names.get(full_name)
    if given in _names.SERVICE_RESERVED:
        raise ProblemError(f"option 'name' cannot call {full_name} {given!r}: generated code needs that name itself")
    return given or _names.service_name(name)


def _method_names(proto: FileDescriptorProto, service: ServiceDescriptorProto, full_name: str, options: Options) -> list[str]:
    names: dict[str, str] = {}
    for method in service.method:
        given = options.names.get(f"{full_name}.{method.name}")
        if given in _names.CLIENT_ATTRIBUTES:
            raise ProblemError(f"option 'name' cannot call {full_name}.{method.name} {given!r}: clients have that name already")
        name = given or _names.method_name(method.name)
        if name in names:
            raise ProblemError(
                f"{proto.name}: the methods {names[name]} and {method.name} of service {service.name} would both be called "
                f"{name} in Python; give one of them another name by the option name={full_name}.{method.name}=<name>, or "
                "rename it"
            )
        names[name] = method.name
    return list(names)


def _check_names(files: Sequence[FileDescriptorProto], options: Options) -> None:
    """Find what is misspelt in option `name`: what a generated package or service is said to have must be there.

    All else may be meant for another run: buf starts the plugin once for each directory.
    """
    services = {f"{file.package}.{service.name}".lstrip("."): service for file in files for service in file.service}
    methods = {f"{name}.{method.name}" for name, service in services.items() for method in service.method}
    parents = {*services, *(file.package for file in files)}
    for name in options.names.keys() - services.keys() - methods:
        if name.rpartition(".")[0] in parents:
            raise ProblemError(f"option 'name': there is no service or method {name} in what is to be generated")


def _deprecated(described: MethodDescriptorProto | ServiceDescriptorProto) -> bool:
    options: Any = described.options
    return options is not None and bool(options.deprecated)


def _idempotency(method: MethodDescriptorProto) -> str:
    levels = {0: "UNKNOWN", 1: "NO_SIDE_EFFECTS", 2: "IDEMPOTENT"}
    options: Any = method.options
    return "UNKNOWN" if options is None else levels.get(int(options.idempotency_level), "UNKNOWN")


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
    """What stands before and after the things of a file, by their paths."""
    info: Any = file.source_code_info
    return {
        tuple(location.path): "\n\n".join(
            comment.strip("\n") for comment in (location.leading_comments, location.trailing_comments) if comment.strip()
        )
        for location in (() if info is None else info.location)
    }
