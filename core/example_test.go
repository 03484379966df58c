package core_test

import (
	"fmt"

	"github.com/connectcore/connectcore/core"
)

// A unary call in the server role: the head and the content go in, the message
// comes out; the reply's length and the outcome go in, and out comes what to
// write. The host keeps the payloads.
func Example() {
	server, err := core.NewServer(core.ServerConfig{
		Codecs:     []string{"proto", "json"},
		Procedures: []core.Procedure{{Path: "/greet.v1.GreetService/Greet"}},
	})
	if err != nil {
		panic(err)
	}

	var fields core.Fields
	fields.AddString("content-type", "application/json")
	fields.AddString("x-request-id", "7")
	head := core.RequestHead{Method: []byte("POST"), Path: []byte("/greet.v1.GreetService/Greet"), Fields: fields}
	content := []byte(`{"name":"World"}`)

	var call core.ServerCall // keep and reuse it: then a call allocates nothing
	show(server.Open(&call, &head, core.Capabilities{}, false), content)
	events, _ := call.Content(uint32(len(content)), content, true, false)
	show(events, content)

	reply := []byte(`{"greeting":"Hello, World!"}`)
	events, _ = call.Send([]uint32{uint32(len(reply))}, nil, false)
	show(events, reply)
	events, _ = call.End(&core.Outcome{})
	show(events, reply)
	// Output:
	// call of procedure 0
	// message {"name":"World"}
	// no more messages
	// status 200
	//   content-type: application/json
	//   content-length: 28
	// content {"greeting":"Hello, World!"}
	// done
}

func show(events []core.Event, held []byte) {
	for _, e := range events {
		switch e.Kind {
		case core.EventRequest:
			fmt.Println("call of procedure", e.Procedure)
		case core.EventMessages:
			for i := 0; i < len(e.Spans); i += 2 {
				fmt.Printf("message %s\n", held[e.Base:][e.Spans[i]:][:e.Spans[i+1]])
			}
		case core.EventReceived:
			fmt.Println("no more messages")
		case core.EventResponseHead:
			fmt.Println("status", e.Status)
			for name, value := range e.Fields.All {
				fmt.Printf("  %s: %s\n", name, value)
			}
		case core.EventBody:
			fmt.Printf("content %s\n", held)
		case core.EventDone:
			fmt.Println("done")
		}
	}
}
