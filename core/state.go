package core

// A call has two halves: what this side receives and what it sends. Each half is
// in a state and moves only forward:
//
//	idle -> awaited -> open -> ended -> over
//
// Server: receiving begins open. Sending is idle until the handler may begin,
// which for a procedure that takes one message is when that message is there,
// and open while the handler runs.
//
// Client: sending begins open, and is ended when the last message was given.
// Receiving is idle until the request's head is out, then awaited until the
// response's head comes, and open while its content comes.
//
// Both halves are over when the call is. What a client has received may still be
// rejected then: its host reads the last message together with the outcome.
//
// A command is carried out if either half takes it in its state. Any other
// command is the host's mistake (ErrState) and changes nothing.
type half uint8

const (
	idle half = iota
	awaited
	open
	ended
	over
)

// command is what a host tells a call.
type command uint16

const (
	cmdContent command = 1 << iota
	cmdPeerGone
	cmdHeaders
	cmdSend
	cmdEnd
	cmdReject
	cmdDeadline
	cmdCancel
	cmdResponseHead
	cmdDecompressed
)

const cmdAlways = cmdPeerGone | cmdDeadline | cmdCancel

// accepts has the commands that each half takes in each state.
type accepts struct{ receiving, sending [5]command }

var serverAccepts = accepts{
	receiving: [5]command{open: cmdAlways | cmdContent, ended: cmdAlways | cmdContent},
	sending: [5]command{
		idle: cmdHeaders | cmdEnd | cmdReject,
		open: cmdHeaders | cmdSend | cmdEnd | cmdReject,
	},
}

var clientAccepts = accepts{
	receiving: [5]command{
		idle:    cmdAlways,
		awaited: cmdAlways | cmdResponseHead,
		open:    cmdAlways | cmdContent | cmdReject | cmdDecompressed,
		ended:   cmdAlways | cmdReject,
		over:    cmdReject,
	},
	sending: [5]command{
		open: cmdSend | cmdEnd | cmdReject,
	},
}

// Misuse is an error of the host: the command was not carried out.
type Misuse string

func (e Misuse) Error() string { return string(e) }

const (
	ErrState   = Misuse("not a command for the state that this call is in")
	ErrPayload = Misuse("lengths and data of the payloads do not agree")
	ErrContent = Misuse("more bytes than were announced, or bytes that were not asked for")
)
