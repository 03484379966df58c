"""The numbers of the module's interface (wasm/ABI.md).

Made by wasm/abigen; do not edit.
"""

from __future__ import annotations

from typing import Final

EXPORT_MARKER: Final = "connectcore_abi_v1"
EXPORT_VERSION: Final = "connectcore_abi_version"
EXPORT_RESERVE: Final = "connectcore_reserve"
EXPORT_STEP: Final = "connectcore_step"

MAJOR: Final = 1
MINOR: Final = 0
HEADER_SIZE: Final = 12
NO_TIMEOUT: Final = 18446744073709551615
COMPRESSED: Final = 2147483648
SERVER_REQUIRE_VERSION: Final = 1
OPEN_TRAILERS: Final = 1
OPEN_DUPLEX: Final = 2
OPEN_END: Final = 4
OPEN_PREPARE: Final = 8
OPEN_GET: Final = 1
OPEN_UNBOUNDED: Final = 16
CONTENT_END_FLAG: Final = 1
CONTENT_RESUME: Final = 2
SEND_INLINE: Final = 1
END_UNEXPECTED: Final = 1
HEADERS_FLUSH: Final = 1
CONTENT_INLINE: Final = 1
CONFIGURED_SEND_INLINE: Final = 1
CONFIGURED_GET_INLINE: Final = 2
REQUEST_SEND_INLINE: Final = 4
REQUEST_GET: Final = 2
MESSAGES_INLINE: Final = 1
HTTP_END: Final = 1
HTTP_TRAILERS: Final = 2
UNARY: Final = 0
CLIENT_STREAM: Final = 1
SERVER_STREAM: Final = 2
BIDI_STREAM: Final = 3
NO_SIDE_EFFECTS: Final = 4
PROTOCOL_CONNECT: Final = 1
PROTOCOL_GRPC: Final = 2
PROTOCOL_GRPC_WEB: Final = 3
REJECT_DECODE: Final = 1
REJECT_DECOMPRESS: Final = 2
REJECT_TOO_LARGE: Final = 3
REJECT_ENCODE: Final = 4
REJECT_LOST: Final = 5
REJECT_BUSY: Final = 6
GONE_BROKEN: Final = 4
GONE_CLOSED: Final = 1
GONE_REFUSED: Final = 2
GONE_RESET: Final = 3
FAULT_RECORD: Final = 1
FAULT_HANDLE: Final = 2
FAULT_STATE: Final = 3
FAULT_CONFIG: Final = 4
FAULT_BUSY: Final = 5
FAULT_PANIC: Final = 6
FAULT_ARGUMENT: Final = 7
DEFAULT_READ_MAX: Final = 4194304
DEFAULT_GET_MAX: Final = 8192
DEFAULT_COMPRESS_MIN: Final = 1024
MAX_CALLS: Final = 65535
MAX_CONFIGS: Final = 2048
CARRY_WHOLE: Final = 16384
CARRY_FIRST: Final = 4096
BINARY_SUFFIX: Final = "-bin"
IDENTITY: Final = "identity"

# The codes' names, by number.
CODES: Final = ("ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated")

CMD_CONFIGURE_SERVER: Final = 1
CMD_CONFIGURE_CLIENT: Final = 2
CMD_CLOSE_CONFIG: Final = 3
CMD_OPEN_SERVER: Final = 4
CMD_OPEN_CLIENT: Final = 5
CMD_RESPONSE_HEAD: Final = 6
CMD_CONTENT: Final = 7
CMD_CONTENT_END: Final = 8
CMD_PEER_GONE: Final = 9
CMD_HEADERS: Final = 10
CMD_SEND: Final = 11
CMD_END: Final = 12
CMD_REJECT: Final = 13
CMD_DEADLINE: Final = 14
CMD_CANCEL: Final = 15
CMD_CLOSE: Final = 16
CMD_DECOMPRESSED: Final = 17
EV_CONFIGURED: Final = 129
EV_REQUEST: Final = 130
EV_MESSAGES: Final = 131
EV_RECEIVED: Final = 132
EV_HTTP_RESPONSE_HEAD: Final = 133
EV_HTTP_REQUEST_HEAD: Final = 134
EV_HTTP_BODY: Final = 135
EV_HTTP_TRAILERS: Final = 136
EV_RESPONSE: Final = 137
EV_END_OF_CALL: Final = 138
EV_STOP: Final = 139
EV_MORE: Final = 140
EV_DONE: Final = 141
EV_FAULT: Final = 142
EV_PREPARED: Final = 143
EV_DECOMPRESS: Final = 144

# kind: (name, flag names from the lowest bit, columns as (name, type))
SCHEMAS: Final[dict[int, tuple[str, tuple[str, ...], tuple[tuple[str, str], ...]]]] = {
    1: (
        "configure-server",
        ("require-version",),
        (("read_max", "u32"), ("send_max", "u32"), ("compress_min", "u32"), ("codecs", "bytes"), ("codings", "bytes"), ("native", "bytes"), ("procedures", "bytes"), ("attributes", "bytes")),
    ),
    2: (
        "configure-client",
        (),
        (("protocol", "u32"), ("read_max", "u32"), ("send_max", "u32"), ("compress_min", "u32"), ("send_coding", "u32"), ("get_max", "u32"), ("codec", "bytes"), ("codings", "bytes"), ("native", "bytes"), ("prefix", "bytes"), ("user_agent", "bytes")),
    ),
    3: (
        "close-config",
        (),
        (),
    ),
    4: (
        "open-server",
        ("trailers", "duplex", "end", "prepare", "unbounded"),
        (("method", "bytes"), ("path", "bytes"), ("query", "bytes"), ("fields", "fields")),
    ),
    5: (
        "open-client",
        ("get",),
        (("attributes", "u32"), ("timeout_us", "u64"), ("procedure", "bytes"), ("fields", "fields"), ("binary", "pairs")),
    ),
    6: (
        "response-head",
        ("end",),
        (("status", "u32"), ("fields", "fields")),
    ),
    7: (
        "content",
        ("end", "resume"),
        (("length", "u32"), ("data", "bytes")),
    ),
    8: (
        "content-end",
        (),
        (("fields", "fields"),),
    ),
    9: (
        "peer-gone",
        (),
        (("reason", "u32"), ("reset_code", "u32"), ("text", "bytes")),
    ),
    10: (
        "headers",
        ("flush",),
        (("fields", "fields"), ("binary", "pairs")),
    ),
    11: (
        "send",
        ("inline",),
        (("lengths", "words"), ("data", "bytes")),
    ),
    12: (
        "end",
        ("unexpected",),
        (("code", "u32"), ("message", "bytes"), ("details", "pairs"), ("fields", "fields"), ("binary", "pairs")),
    ),
    13: (
        "reject",
        (),
        (("reason", "u32"), ("text", "bytes")),
    ),
    14: (
        "deadline",
        (),
        (),
    ),
    15: (
        "cancel",
        (),
        (),
    ),
    16: (
        "close",
        (),
        (),
    ),
    17: (
        "decompressed",
        (),
        (("data", "bytes"),),
    ),
    129: (
        "configured",
        ("send-inline", "get-inline"),
        (),
    ),
    130: (
        "request",
        ("content-inline", "get", "send-inline"),
        (("procedure", "u32"), ("protocol", "u32"), ("codec", "u32"), ("coding", "u32"), ("compress_min", "u32"), ("timeout_us", "u64"), ("hidden", "bytes"), ("binary", "pairs")),
    ),
    131: (
        "messages",
        ("inline",),
        (("base", "u64"), ("coding", "u32"), ("limit", "u32"), ("spans", "words"), ("data", "bytes")),
    ),
    132: (
        "received",
        (),
        (("code", "u32"), ("message", "bytes")),
    ),
    133: (
        "http-response-head",
        ("end", "trailers"),
        (("status", "u32"), ("fields", "fields")),
    ),
    134: (
        "http-request-head",
        ("end",),
        (("method", "bytes"), ("target", "bytes"), ("fields", "fields")),
    ),
    135: (
        "http-body",
        ("end",),
        (("count", "u32"), ("prefix", "u32"), ("data", "bytes")),
    ),
    136: (
        "http-trailers",
        (),
        (("fields", "fields"),),
    ),
    137: (
        "response",
        ("content-inline",),
        (("hidden", "bytes"), ("binary", "pairs")),
    ),
    138: (
        "end-of-call",
        (),
        (("code", "u32"), ("message", "bytes"), ("details", "pairs"), ("fields", "fields"), ("binary", "pairs")),
    ),
    139: (
        "stop",
        (),
        (("code", "u32"), ("grace_us", "u32"), ("message", "bytes")),
    ),
    140: (
        "more",
        (),
        (("offset", "u64"), ("want", "u32")),
    ),
    141: (
        "done",
        (),
        (),
    ),
    142: (
        "fault",
        (),
        (("fault", "u32"), ("text", "bytes")),
    ),
    143: (
        "prepared",
        (),
        (("limit", "u32"), ("reply_max", "u32"), ("status", "u32"), ("fields", "fields"), ("length", "bytes")),
    ),
    144: (
        "decompress",
        (),
        (("coding", "u32"), ("limit", "u32"), ("data", "bytes")),
    ),
}
