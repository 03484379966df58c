// Package hostgo serves and calls RPCs over net/http with the rules of the
// Connect and gRPC protocols taken from the embedded WebAssembly module. The
// package owns sockets, deadlines and messages; the module decides what a
// request means and what goes on the wire:
//
//	net/http request -> records -> module (wazero) -> events -> handler
//	net/http response <- events <- module (wazero) <- records <- handler
//
// A server is a [Handler] made of procedures:
//
//	greet := hostgo.Unary("/greet.v1.GreetService/Greet",
//		func(ctx context.Context, call *hostgo.Call, req *greetv1.GreetRequest) (*greetv1.GreetResponse, error) {
//			return &greetv1.GreetResponse{Greeting: "Hello, " + req.GetName()}, nil
//		})
//	handler, err := hostgo.NewHandler(nil, greet)
//	...
//	http.ListenAndServe("127.0.0.1:8080", handler)
//
// A client is a [Client] for one base URL:
//
//	client, err := hostgo.NewClient("http://127.0.0.1:8080", nil)
//	...
//	err = client.Unary(ctx, "/greet.v1.GreetService/Greet", request, response)
//
// Payloads can stay bytes, for a proxy say: [Call.ReceiveBytes] and
// [Call.SendBytes] know no message types.
//
// The module is compiled once a process, at first use ([Default]), and runs in
// a pool of instances, one owner at a time. An instance that fails is dropped
// with its calls; the others go on. [Module.Stats] counts. The instances keep
// something for each handler and client, until that is closed or forgotten.
package hostgo
