"""Names of the official package's `connectrpc.compat`. Here the ordinary codecs serve both message runtimes."""

from __future__ import annotations

from ._codec.codec import Codec, default_codecs, proto_binary_codec, proto_json_codec

__all__ = ["google_protobuf_binary_codec", "google_protobuf_codecs", "google_protobuf_json_codec"]


def google_protobuf_codecs() -> list[Codec]:
    """The codecs `proto` and `json`."""
    return list(default_codecs())


def google_protobuf_binary_codec() -> Codec:
    """The codec `proto`."""
    return proto_binary_codec()


def google_protobuf_json_codec(*, ignore_unknown_fields: bool = True, always_emit_implicit: bool = False) -> Codec:
    """The codec `json`; see `proto_json_codec`."""
    return proto_json_codec(ignore_unknown_fields=ignore_unknown_fields, always_emit_implicit=always_emit_implicit)
