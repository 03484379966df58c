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
SERVER_OUTCOMES: Final = 2
SERVER_NO_CONNECT: Final = 4
SERVER_NO_GRPC: Final = 8
SERVER_NO_GRPC_WEB: Final = 16
CLIENT_TEXT: Final = 1
PREPARED_TRAILERS: Final = 1
OPEN_TRAILERS: Final = 1
OPEN_DUPLEX: Final = 2
OPEN_END: Final = 4
OPEN_PREPARE: Final = 8
OPEN_GET: Final = 1
OPEN_RETRY: Final = 2
RETRY_UNPROCESSED: Final = 1
RETRY_TRANSIENT: Final = 2
RETRY_NEVER: Final = 4
RETRY_TOLD: Final = 8
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
HTTP_LACKS_TRAILERS: Final = 4
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
REJECT_KIND: Final = 7
GONE_CLOSED: Final = 1
GONE_REFUSED: Final = 2
GONE_RESET: Final = 3
GONE_BROKEN: Final = 4
GONE_LARGE: Final = 5
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
MAX_MEMBERS: Final = 2048
BINARY_SUFFIX: Final = "-bin"

# The codes' names, by number.
CODES: Final = ("ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss", "unauthenticated")

# Kinds.
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
EV_RETRY: Final = 145
EV_OUTCOME: Final = 146

# What a record begins with, its fixed block included: name and letter (of `struct`) of each number.
LAYOUT_CONFIGURE_SERVER: Final = "kind:H flags:H size:I handle:I read_max:I send_max:I compress_min:I timeout_max:Q codecs_size:I codings_size:I native_size:I procedures_size:I attributes_size:I"
LAYOUT_CONFIGURE_CLIENT: Final = "kind:H flags:H size:I handle:I protocol:I read_max:I send_max:I compress_min:I send_coding:I get_max:I codec_size:I codings_size:I native_size:I prefix_size:I user_agent_size:I"
LAYOUT_CLOSE_CONFIG: Final = "kind:H flags:H size:I handle:I"
LAYOUT_OPEN_SERVER: Final = "kind:H flags:H size:I handle:I method_size:I path_size:I query_size:I fields_count:I fields_size:I"
LAYOUT_OPEN_CLIENT: Final = "kind:H flags:H size:I handle:I attributes:I tries:I timeout_us:Q procedure_size:I fields_count:I fields_size:I binary_count:I binary_size:I"
LAYOUT_RESPONSE_HEAD: Final = "kind:H flags:H size:I handle:I status:I fields_count:I fields_size:I"
LAYOUT_CONTENT: Final = "kind:H flags:H size:I handle:I length:I data_size:I"
LAYOUT_CONTENT_END: Final = "kind:H flags:H size:I handle:I fields_count:I fields_size:I"
LAYOUT_PEER_GONE: Final = "kind:H flags:H size:I handle:I reason:I reset_code:I text_size:I"
LAYOUT_HEADERS: Final = "kind:H flags:H size:I handle:I fields_count:I fields_size:I binary_count:I binary_size:I"
LAYOUT_SEND: Final = "kind:H flags:H size:I handle:I lengths_count:I data_size:I"
LAYOUT_END: Final = "kind:H flags:H size:I handle:I code:I message_size:I details_count:I details_size:I fields_count:I fields_size:I binary_count:I binary_size:I"
LAYOUT_REJECT: Final = "kind:H flags:H size:I handle:I reason:I text_size:I"
LAYOUT_DEADLINE: Final = "kind:H flags:H size:I handle:I"
LAYOUT_CANCEL: Final = "kind:H flags:H size:I handle:I"
LAYOUT_CLOSE: Final = "kind:H flags:H size:I handle:I"
LAYOUT_DECOMPRESSED: Final = "kind:H flags:H size:I handle:I data_size:I"
LAYOUT_CONFIGURED: Final = "kind:H flags:H size:I handle:I"
LAYOUT_REQUEST: Final = "kind:H flags:H size:I handle:I procedure:I protocol:I codec:I coding:I compress_min:I timeout_us:Q hidden_size:I binary_count:I binary_size:I"
LAYOUT_MESSAGES: Final = "kind:H flags:H size:I handle:I base:Q coding:I limit:I spans_count:I data_size:I"
LAYOUT_RECEIVED: Final = "kind:H flags:H size:I handle:I code:I message_size:I"
LAYOUT_HTTP_RESPONSE_HEAD: Final = "kind:H flags:H size:I handle:I status:I fields_count:I fields_size:I"
LAYOUT_HTTP_REQUEST_HEAD: Final = "kind:H flags:H size:I handle:I method_size:I target_size:I fields_count:I fields_size:I"
LAYOUT_HTTP_BODY: Final = "kind:H flags:H size:I handle:I count:I prefix:I data_size:I"
LAYOUT_HTTP_TRAILERS: Final = "kind:H flags:H size:I handle:I fields_count:I fields_size:I"
LAYOUT_RESPONSE: Final = "kind:H flags:H size:I handle:I hidden_size:I binary_count:I binary_size:I"
LAYOUT_END_OF_CALL: Final = "kind:H flags:H size:I handle:I code:I message_size:I details_count:I details_size:I fields_count:I fields_size:I binary_count:I binary_size:I"
LAYOUT_STOP: Final = "kind:H flags:H size:I handle:I code:I grace_us:I message_size:I"
LAYOUT_MORE: Final = "kind:H flags:H size:I handle:I offset:Q want:I"
LAYOUT_DONE: Final = "kind:H flags:H size:I handle:I"
LAYOUT_FAULT: Final = "kind:H flags:H size:I handle:I fault:I text_size:I"
LAYOUT_PREPARED: Final = "kind:H flags:H size:I handle:I limit:I reply_max:I head_max:I coding:I mark:I prefix:I status:I fields_count:I fields_size:I packed_count:I packed_size:I length_size:I data_size:I trailers_count:I trailers_size:I matters_size:I"
LAYOUT_DECOMPRESS: Final = "kind:H flags:H size:I handle:I coding:I limit:I data_size:I"
LAYOUT_RETRY: Final = "kind:H flags:H size:I handle:I wait_us:Q"
LAYOUT_OUTCOME: Final = "kind:H flags:H size:I handle:I code:I protocol:I"
