package core

// The states of a call and what it accepts in each. A command that its state
// does not list is the host's mistake (ErrState) and changes nothing.
//
//	server:  closed -> unread -> handling -> closed
//	                        \-> open ------> closed
//	client:  closed -> asking -> waiting -> reading -> closed
//
// unread: one message is awaited and the handler has not begun. handling: the
// handler has its one message. open: the handler runs while messages come.
// asking: the application's message is awaited. waiting: the request is out.
// reading: the response's content comes.
type state uint8

const (
	stateClosed state = iota
	stateUnread
	stateHandling
	stateOpen
	stateAsking
	stateWaiting
	stateReading
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
)

const cmdsAlways = cmdPeerGone | cmdDeadline | cmdCancel

var accepts = [...]command{
	stateClosed:   0,
	stateUnread:   cmdsAlways | cmdContent | cmdHeaders | cmdEnd,
	stateHandling: cmdsAlways | cmdContent | cmdHeaders | cmdSend | cmdEnd | cmdReject,
	stateOpen:     cmdsAlways | cmdContent | cmdHeaders | cmdSend | cmdEnd | cmdReject,
	stateAsking:   cmdsAlways | cmdSend | cmdEnd | cmdReject,
	stateWaiting:  cmdsAlways | cmdResponseHead,
	stateReading:  cmdsAlways | cmdContent,
}

// Misuse is an error of the host: the command was not carried out.
type Misuse string

func (e Misuse) Error() string { return string(e) }

const (
	ErrState   = Misuse("not a command for the state that this call is in")
	ErrPayload = Misuse("lengths and data of the payloads do not agree")
	ErrContent = Misuse("more bytes than were announced, or bytes that were not asked for")
)
