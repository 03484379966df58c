"""Runs protoc (the one inside grpcio-tools) with our plugin and the message runtimes' generators, for tests."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

SCRIPTS = Path(sys.executable).parent
PLUGINS = ("protoc-gen-connectcore", "protoc-gen-connectcore-py", "protoc-gen-py")

GREET = """
syntax = "proto3";
package greet.v1;

// Greets people.
//
// In every way.
service GreetService {
  // One greeting.
  rpc Greet(GreetRequest) returns (GreetResponse) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc GreetMany(GreetRequest) returns (stream GreetResponse);
  rpc GreetGroup(stream GreetRequest) returns (GreetResponse);
  rpc Chat(stream GreetRequest) returns (stream GreetResponse);
}
message GreetRequest { string name = 1; }
message GreetResponse { string greeting = 1; }
"""


class Protoc:
    """A directory with `.proto` files and one for what is generated from them."""

    def __init__(self, directory: Path, files: dict[str, str], known: bytes = b"") -> None:
        """`known`: a descriptor set of further files, which those that are given may import."""
        self.known = directory / "known.binpb"
        self.sources = directory / "in"
        self.out = directory / "out"
        self.out.mkdir(parents=True)
        self.files = files
        self.known.write_bytes(known)
        for name, text in files.items():
            path = self.sources / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def run(
        self, options: str = "", *, only: list[str] | None = None, plugin: str = "connectcore"
    ) -> subprocess.CompletedProcess[str]:
        """Run our plugin alone."""
        return self._protoc(self._output(plugin, options), only)

    def generate(self, messages: str, options: str = "", *, message_options: str = "") -> str:
        """Run our plugin and the generator of the messages; both must succeed. Gives what they say."""
        opt = f"messages={messages}" + (f",{options}" if options else "")
        done = self._protoc([*self._messages(messages, message_options), *self._output("connectcore", opt)], None)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def make_messages(self, messages: str, *, only: list[str] | None = None) -> None:
        """Run the generator of the messages."""
        done = self._protoc(self._messages(messages, ""), only)
        assert done.returncode == 0, done.stderr

    def described(self) -> bytes:
        """The files and what they import as a plugin gets them: a `FileDescriptorSet`."""
        path = self.out / "described"
        done = self._protoc([f"--descriptor_set_out={path}", "--include_imports", "--include_source_info"], None)
        assert done.returncode == 0, done.stderr
        return path.read_bytes()

    def _messages(self, messages: str, options: str) -> list[str]:
        if messages == "google":
            return [*self._output("python", ""), *self._output("pyi", "")]
        return self._output("py", options)

    def _output(self, plugin: str, options: str) -> list[str]:
        return [f"--{plugin}_out={self.out}", *([f"--{plugin}_opt={options}"] if options else [])]

    def text(self, path: str) -> str:
        """A generated file."""
        return (self.out / path).read_text(encoding="utf-8")

    def load(self, monkeypatch: pytest.MonkeyPatch, module: str) -> ModuleType:
        """Import a generated module."""
        monkeypatch.syspath_prepend(str(self.out))
        importlib.invalidate_caches()
        return importlib.import_module(module)

    def _protoc(self, outputs: list[str], only: list[str] | None) -> subprocess.CompletedProcess[str]:
        plugins = [f"--plugin={name}={SCRIPTS / name}" for name in PLUGINS]
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={self.known}", f"-I{self.sources}"]
        command += [*plugins, *outputs, *(only or self.files)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def rules() -> bytes:
    """`buf/validate/validate.proto` and what it imports, as protoc takes them."""
    from google.protobuf import descriptor_pb2
    from protovalidate import ViolationsPb

    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: Any) -> None:
        if file.name not in files:
            for dependency in file.dependencies:
                add(dependency)
            files[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.proto.to_binary())

    add(ViolationsPb.desc().file)
    return descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString()
