package hostgo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
)

// PanicError is the panic of a handler, as [HandlerOptions.OnError] is told of it.
type PanicError struct {
	// Value is what the handler panicked with.
	Value any
	// Stack is the stack at that time, as text.
	Stack []byte
}

// Error returns the value as text.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// invoke runs the handler. unexpected says that it failed in a way that the peer
// must not see, and that was told.
func (c *Call) invoke(ctx context.Context) (err error, unexpected bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // net/http's way to cut the connection
			c.gone(http.ErrAbortHandler)
			panic(p)
		default:
			failure := &PanicError{p, debug.Stack()}
			answer := c.answerTo(ctx, failure)
			if unexpected = answer == nil; !unexpected {
				err = answer
				return
			}
			c.handler.logger.ErrorContext(ctx, "connectcore: a handler panicked",
				"procedure", c.procedure.Path, "panic", p, "stack", string(failure.Stack))
		}
	}()
	err = c.procedure.Serve(ctx, c)
	if err == nil || isAnswer(err) || c.isOver() || ctx.Err() != nil {
		return err, false
	}
	if answer := c.answerTo(ctx, err); answer != nil {
		return answer, false
	}
	c.handler.logger.ErrorContext(ctx, "connectcore: a handler failed unexpectedly",
		"procedure", c.procedure.Path, "error", err)
	return nil, true
}

// isAnswer says whether the peer is to see an error as it is.
func isAnswer(err error) bool {
	answer, ok := errors.AsType[*Error](err)
	return ok && answer != nil && answer.Code != 0
}

// answerTo asks the application's hook about an unexpected error, and returns nil
// where there is no answer to send. Whatever the hook does, the call goes on.
func (c *Call) answerTo(ctx context.Context, failure error) (answer *Error) {
	if c.handler.onError == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			answer = nil
			c.handler.logger.ErrorContext(ctx, "connectcore: OnError panicked",
				"procedure", c.procedure.Path, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if answer = c.handler.onError(ctx, c, failure); answer != nil && answer.Code == 0 {
		c.handler.logger.ErrorContext(ctx, "connectcore: OnError returned an error without a code", "procedure", c.procedure.Path)
		return nil
	}
	return answer
}
