"""Codecs: how a message becomes bytes and back."""

from __future__ import annotations

from ._codec.codec import Codec, proto_binary_codec, proto_json_codec

__all__ = ["Codec", "proto_binary_codec", "proto_json_codec"]
