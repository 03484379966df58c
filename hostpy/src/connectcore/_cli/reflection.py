"""Descriptors from a server that tells about itself (gRPC's server reflection, v1, else v1alpha)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .._standard.messages import method
from ..errors import ConnectError
from .problem import NO_SCHEMA, ProblemError
from .schema import Schema, file_from, service_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from ..client import ConnectClientSync

__all__ = ["reflected"]

_VERSIONS: Final = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
_ROUNDS: Final = 100
"""How deep imports may go."""


def reflected(client: ConnectClientSync, wanted: str, headers: Any) -> Schema:
    """What a server says about the service of a method; about all of its services, if that is none that it knows.

    Args:
        client: calls the server.
        wanted: the method's name, as the user wrote it.
        headers: metadata for the calls.

    Raises:
        ProblemError: the server does not tell, or what it tells makes no sense.

    """
    failure: ConnectError | None = None
    for version in _VERSIONS:
        try:
            return _Server(client, version, headers).schema(wanted)
        except ConnectError as error:
            failure = failure or error  # the first says more: the second may only be that there is no v1alpha
    assert failure is not None
    raise ProblemError(
        f"the server does not tell its methods by reflection ({failure.code.value}: {failure.message}). Give --proto or "
        "--descriptor-set; or --protocol, if the server speaks another one",
        NO_SCHEMA,
    ) from failure


class _Server:
    """A server, asked in one version of the service."""

    def __init__(self, client: ConnectClientSync, version: str, headers: Any) -> None:
        self._client = client
        self._headers = headers
        self._method = method(f"{version}.ServerReflection", "ServerReflectionInfo")
        self._files: dict[str, FileDescriptorProto] = {}

    def schema(self, wanted: str) -> Schema:
        service = service_of(wanted)
        if not (service and self._learn([{"file_containing_symbol": service}])):
            [listed] = self._ask([{"list_services": "*"}])
            names: list[str] = [each.name for each in listed.list_services_response.service]
            self._learn({"file_containing_symbol": name} for name in names)
        for _ in range(_ROUNDS):
            imports = {name for file in self._files.values() for name in file.dependency} - self._files.keys()
            if not imports or not self._learn({"file_by_filename": name} for name in sorted(imports)):
                break  # what is missing is a well-known type, or is missed when the files are put together
        return Schema(self._files.values(), "the server's reflection")

    def _learn(self, questions: Iterable[dict[str, str]]) -> bool:
        """Keep the files of the answers; whether there was any new one."""
        before = len(self._files)
        for answer in self._ask(list(questions)):
            for data in answer.file_descriptor_response.file_descriptor_proto:
                file = file_from(data)
                self._files.setdefault(file.name, file)
        return len(self._files) > before

    def _ask(self, questions: list[dict[str, str]]) -> list[Any]:
        requests = iter([self._method.input(**question) for question in questions])
        with self._client.execute_bidi_stream(request=requests, method=self._method, headers=self._headers) as responses:
            answers = list(responses)
        if len(answers) != len(questions):
            raise ProblemError(f"the server's reflection gave {len(answers)} answers to {len(questions)} questions", NO_SCHEMA)
        return answers
