package abi

// Column types. Every column has a fixed part, in order, right after the
// record's header; the bytes that a column points to follow all fixed parts,
// in the same order, without padding. Numbers are little-endian.
type ColumnType string

const (
	U32 ColumnType = "u32" // u32
	U64 ColumnType = "u64" // u64
	// Bytes is u32 size, then the bytes.
	Bytes ColumnType = "bytes"
	// Fields is u32 count, u32 size, then name NUL value NUL name NUL value…
	// with exactly 2*count-1 NULs. For text, which cannot hold a NUL.
	Fields ColumnType = "fields"
	// Pairs is u32 count, u32 size, then count times u32 size of a, u32 size
	// of b, a, b. For binary metadata (name, value) and details (type, value).
	Pairs ColumnType = "pairs"
	// Words is u32 count, then count u32.
	Words ColumnType = "words"
)

// Column is one column of a record.
type Column struct {
	Name string
	Type ColumnType
}

// Schema is one record's layout.
type Schema struct {
	Kind    Kind
	Name    string
	Flags   []string // names of the flag bits, lowest first
	Columns []Column
}

// Schemas lists every record: first the commands, then the events.
var Schemas = []Schema{
	{CmdConfigureServer, "configure-server", []string{"require-version", "outcomes", "no-connect", "no-grpc", "no-grpc-web"}, []Column{
		{"read_max", U32}, {"send_max", U32}, {"compress_min", U32}, {"timeout_max", U64},
		{"codecs", Bytes}, {"codings", Bytes}, {"native", Bytes},
		{"procedures", Bytes}, {"attributes", Bytes}}},
	{CmdConfigureClient, "configure-client", []string{"text"}, []Column{
		{"protocol", U32}, {"read_max", U32}, {"send_max", U32}, {"compress_min", U32}, {"send_coding", U32}, {"get_max", U32},
		{"codec", Bytes}, {"codings", Bytes}, {"native", Bytes},
		{"prefix", Bytes}, {"user_agent", Bytes}}},
	{CmdCloseConfig, "close-config", nil, nil},
	{CmdOpenServer, "open-server", []string{"trailers", "duplex", "end", "prepare", "unbounded"}, []Column{
		{"method", Bytes}, {"path", Bytes}, {"query", Bytes}, {"fields", Fields}}},
	{CmdOpenClient, "open-client", []string{"get", "retry"}, []Column{
		{"attributes", U32}, {"tries", U32}, {"timeout_us", U64},
		{"procedure", Bytes}, {"fields", Fields}, {"binary", Pairs}}},
	{CmdResponseHead, "response-head", []string{"end"}, []Column{
		{"status", U32}, {"fields", Fields}}},
	{CmdContent, "content", []string{"end", "resume"}, []Column{
		{"length", U32}, {"data", Bytes}}},
	{CmdContentEnd, "content-end", nil, []Column{{"fields", Fields}}},
	{CmdPeerGone, "peer-gone", nil, []Column{
		{"reason", U32}, {"reset_code", U32}, {"text", Bytes}}},
	{CmdHeaders, "headers", []string{"flush"}, []Column{{"fields", Fields}, {"binary", Pairs}}},
	{CmdSend, "send", []string{"inline"}, []Column{{"lengths", Words}, {"data", Bytes}}},
	{CmdEnd, "end", []string{"unexpected"}, []Column{
		{"code", U32}, {"message", Bytes}, {"details", Pairs}, {"fields", Fields}, {"binary", Pairs}}},
	{CmdReject, "reject", nil, []Column{{"reason", U32}, {"text", Bytes}}},
	{CmdDeadline, "deadline", nil, nil},
	{CmdCancel, "cancel", nil, nil},
	{CmdClose, "close", nil, nil},
	{CmdDecompressed, "decompressed", nil, []Column{{"data", Bytes}}},

	{EvConfigured, "configured", []string{"send-inline", "get-inline"}, nil},
	{EvRequest, "request", []string{"content-inline", "get", "send-inline"}, []Column{
		{"procedure", U32}, {"protocol", U32}, {"codec", U32}, {"coding", U32}, {"compress_min", U32},
		{"timeout_us", U64}, {"hidden", Bytes}, {"binary", Pairs}}},
	{EvMessages, "messages", []string{"inline"}, []Column{
		{"base", U64}, {"coding", U32}, {"limit", U32}, {"spans", Words}, {"data", Bytes}}},
	{EvReceived, "received", nil, []Column{{"code", U32}, {"message", Bytes}}},
	{EvResponseHead, "http-response-head", []string{"end", "trailers", "lacks-trailers"}, []Column{
		{"status", U32}, {"fields", Fields}}},
	{EvRequestHead, "http-request-head", []string{"end"}, []Column{
		{"method", Bytes}, {"target", Bytes}, {"fields", Fields}}},
	{EvBody, "http-body", []string{"end"}, []Column{
		{"count", U32}, {"prefix", U32}, {"data", Bytes}}},
	{EvTrailers, "http-trailers", nil, []Column{{"fields", Fields}}},
	{EvResponse, "response", []string{"content-inline"}, []Column{
		{"hidden", Bytes}, {"binary", Pairs}}},
	{EvEnd, "end-of-call", nil, []Column{
		{"code", U32}, {"message", Bytes}, {"details", Pairs}, {"fields", Fields}, {"binary", Pairs}}},
	{EvStop, "stop", nil, []Column{{"code", U32}, {"grace_us", U32}, {"message", Bytes}}},
	{EvMore, "more", nil, []Column{{"offset", U64}, {"want", U32}}},
	{EvDone, "done", nil, nil},
	{EvFault, "fault", nil, []Column{{"fault", U32}, {"text", Bytes}}},
	{EvPrepared, "prepared", []string{"trailers"}, []Column{
		{"limit", U32}, {"reply_max", U32}, {"head_max", U32}, {"coding", U32}, {"mark", U32}, {"prefix", U32}, {"status", U32},
		{"fields", Fields}, {"packed", Fields}, {"length", Bytes}, {"data", Bytes}, {"trailers", Fields}, {"matters", Bytes}}},
	{EvDecompress, "decompress", nil, []Column{{"coding", U32}, {"limit", U32}, {"data", Bytes}}},
	{EvRetry, "retry", []string{"unprocessed", "transient", "never", "told"}, []Column{{"wait_us", U64}}},
	{EvOutcome, "outcome", nil, []Column{{"code", U32}, {"protocol", U32}}},
}

// SchemaOf finds a record's layout, nil where there is none.
func SchemaOf(k Kind) *Schema {
	for i := range Schemas {
		if Schemas[i].Kind == k {
			return &Schemas[i]
		}
	}
	return nil
}
