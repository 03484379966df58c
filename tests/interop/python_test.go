package interop

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What our Python clients make of each generated response, and what our Go client
// does: the core is one, so they are to say the same.

// pythonClients is a program that makes a call for each line that it is sent.
type pythonClients struct {
	url     string
	process *os.Process
	asked   *json.Encoder
	answers *json.Decoder
}

func startPython(t *testing.T, url string) *pythonClients {
	t.Helper()
	python := filepath.Join("..", "..", ".venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Skip("no virtual environment: run `make setup`")
	}
	// What is looked at here is what the cache of go test knows that the outcome depends on.
	for _, folder := range []string{".", filepath.Join("..", "..", "hostpy", "src")} {
		if err := filepath.WalkDir(folder, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			t.Fatal(err)
		}
	}
	program := exec.Command(python, "canned.py")
	program.Env = append(os.Environ(), "PYTHONPATH=gen")
	program.Stderr = os.Stderr
	in, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	p := &pythonClients{url: url, process: program.Process, asked: json.NewEncoder(in), answers: json.NewDecoder(out)}
	t.Cleanup(func() {
		defer p.limit()()
		_ = in.Close() // that ends it
		_, _ = io.Copy(io.Discard, out)
		if err := program.Wait(); err != nil {
			t.Errorf("the program does not end as it should: %v", err)
		}
	})
	return p
}

// limit ends the program if it does not get on with something. What it gives is to
// be called when that is done.
func (p *pythonClients) limit() func() {
	timer := time.AfterFunc(30*time.Second, func() { _ = p.process.Kill() })
	return func() { timer.Stop() }
}

// caller is one of its clients.
func (p *pythonClients) caller(library string) caller {
	return func(t *testing.T, f *form, m moment) answered {
		t.Helper()
		asked := map[string]any{"library": library, "url": p.url, "json": f.json(), "protocol": "connect", "moment": "late",
			"procedure": strings.ToLower(f.target[strings.LastIndex(f.target, "/")+1:])}
		if f.isWeb() {
			asked["protocol"] = "grpc-web"
		} else if f.grpc() {
			asked["protocol"] = "grpc"
		}
		if f.target == bidiPath && !m.sendsAll() {
			if asked["moment"] = "early"; m == talk {
				asked["moment"] = "talk"
			}
		}
		defer p.limit()()
		var answer struct {
			Messages        []string
			Code, Text      string
			Details, Fields [][2]string
		}
		if err := p.asked.Encode(asked); err != nil {
			t.Fatal(err)
		}
		if err := p.answers.Decode(&answer); err != nil {
			t.Fatalf("%s: no outcome of %v: %v", f.name, asked, err)
		}
		s := seen{messages: answer.Messages, code: answer.Code, text: answer.Text}
		for _, detail := range answer.Details {
			b, err := base64.StdEncoding.DecodeString(detail[1])
			if err != nil {
				t.Fatal(err)
			}
			s.details = append(s.details, fmt.Sprintf("%s:%x", detail[0], b))
		}
		for _, field := range answer.Fields {
			s.add(field[0], field[1], true)
		}
		return s.answered()
	}
}

// both calls with the async client and with that of threads, which have to see the
// same: its outcome is that of one of them.
func (p *pythonClients) both() caller {
	async, threads := p.caller("connectcore"), p.caller("connectcore-sync")
	return func(t *testing.T, f *form, m moment) answered {
		t.Helper()
		one, other := async(t, f, m), threads(t, f, m)
		if one != other {
			t.Errorf("%s/%s: the async client has %s, the one of threads %s", f.name, m, &one, &other)
		}
		return one
	}
}

// pythonDifferences are those between our hosts.
var pythonDifferences = []difference{
	{"a field whose value begins with a space", "HTTP/2 has none: the parser refuses the response, where net/http hands the value on to the core",
		"RFC 9113, section 8.2.1", "code text",
		func(g *generated) bool {
			return g.form.isPlain() && g.ends(`a status of " 9"`) && g.codes("internal", "unknown")
		}},
}

func TestGeneratedClientsPython(t *testing.T) {
	v := versions[1]
	server, url := serveCanned(t, v)
	e := &ear{t: t, server: server, mine: startPython(t, url).both(), theirs: ourCaller(t, url, v.client(t)), each: 3}
	if os.Getenv("HOSTILE_ROUNDS") != "" {
		e.each = 1
	}
	e.listen(protoForms())
	judge(t, pythonDifferences, e.all)
}

func TestBrokenOffPython(t *testing.T) {
	s := serveBroken(t)
	judge(t, nil, breakOff(t, protoForms(), s, startPython(t, s.url).both(), ourCaller(t, s.url, versions[1].client(t))))
}
