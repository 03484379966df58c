// Package tapes reads and replays the tapes of this folder: text files that say
// what goes into the module and what must come out, step by step. README.md is
// the writer's guide and describes the format; what is here follows it.
//
// The same tapes are replayed by test_tapes.py (wasmtime) and tapes.mjs
// (Node), which share no code with this package.
package tapes

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Tape is one file.
type Tape struct {
	Name  string   // the path below this folder, without ".tape"
	Title string   // what it shows, in a line
	Specs []string // the paragraphs that it proves
	Fails string   // for the runner's own tests: what the failure must mention
	Steps []Step
	lines []string
}

// Step is what goes in at once and what must come out of it.
type Step struct {
	Commands []Entry
	Events   []Entry
	at       int // the line after the last command: where its events belong
	preset   bool
}

// Entry is one command, or one event in the form in which tapes write it.
type Entry struct {
	Line     int
	Kind     string
	Flags    []string
	Args     []Arg
	Payloads []Text
	Lines    []Line
	raw      []string
}

// Arg is a column by its name.
type Arg struct {
	Key   string
	Value Text
}

// Line is an indented line: a field (Type ""), or a "binary", a "detail", a
// "procedure".
type Line struct {
	Type, Name string
	Value      Text
}

// Text is a value; in a pattern every '*' stands for one byte or more.
type Text struct {
	Bytes   []byte
	Pattern bool
}

// Arg finds a column, and says whether it is there.
func (e *Entry) Arg(key string) (string, bool) {
	for _, a := range e.Args {
		if a.Key == key {
			return string(a.Value.Bytes), true
		}
	}
	return "", false
}

// Flag says whether a flag stands in the entry.
func (e *Entry) Flag(name string) bool {
	for _, f := range e.Flags {
		if f == name {
			return true
		}
	}
	return false
}

// All lists the names of the tapes below dir, in order, without those that are
// there to be used by others.
func All(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".tape") {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.ToSlash(rel), ".tape")
		if !strings.HasPrefix(name, "presets/") && !strings.HasPrefix(name, "selftest/") {
			names = append(names, name)
		}
		return nil
	})
	sort.Strings(names)
	return names, err
}

// Load reads the tape of this name below dir.
func Load(dir, name string) (*Tape, error) {
	src, err := os.ReadFile(filepath.Join(dir, name+".tape"))
	if err != nil {
		return nil, err
	}
	t := &Tape{Name: name, lines: strings.Split(strings.TrimSuffix(string(src), "\n"), "\n")}
	if err := t.parse(dir); err != nil {
		return nil, fmt.Errorf("%s.tape:%w", name, err)
	}
	return t, nil
}

func (t *Tape) parse(dir string) error {
	open := false // whether the next command joins the last step
	var last *Entry
	for i, full := range t.lines {
		line := strings.TrimRight(full, " \t\r")
		word := strings.TrimLeft(line, " \t")
		fail := func(err error) error { return fmt.Errorf("%d: %w", i+1, err) }
		switch {
		case word == "":
			open = false
		case word[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if last == nil {
				return fail(fmt.Errorf("an indented line belongs to no command or event"))
			}
			lines, err := parseLine(dir, word)
			if err != nil {
				return fail(err)
			}
			last.Lines = append(last.Lines, lines...)
			last.raw = append(last.raw, line)
			if len(t.Steps[len(t.Steps)-1].Events) == 0 {
				t.Steps[len(t.Steps)-1].at = i + 1
			}
		case line[0] == '>':
			e, err := parseEntry(dir, line[1:])
			if err != nil {
				return fail(err)
			}
			e.Line = i + 1
			if !open {
				t.Steps = append(t.Steps, Step{})
			}
			open = true
			s := &t.Steps[len(t.Steps)-1]
			s.Commands, s.at = append(s.Commands, e), i+1
			last = &s.Commands[len(s.Commands)-1]
		case line[0] == '<':
			e, err := parseEntry(dir, line[1:])
			if err != nil {
				return fail(err)
			}
			if len(t.Steps) == 0 || t.Steps[len(t.Steps)-1].preset {
				return fail(fmt.Errorf("an event before the first command"))
			}
			open = false
			e.Line, e.raw = i+1, []string{line}
			s := &t.Steps[len(t.Steps)-1]
			if s.Events, err = addEvents(s.Events, e); err != nil {
				return fail(err)
			}
			last = &s.Events[len(s.Events)-1]
		case strings.HasPrefix(line, "use "):
			steps, err := usePreset(dir, line[4:])
			if err != nil {
				return fail(err)
			}
			t.Steps = append(t.Steps, steps...)
			open, last = false, nil
		default:
			key, value, ok := strings.Cut(line, ": ")
			if !ok || len(t.Steps) > 0 {
				return fail(fmt.Errorf("neither a command, an event, a header nor a comment: %q", line))
			}
			switch key {
			case "title":
				t.Title = value
			case "spec":
				t.Specs = append(t.Specs, value)
			case "fails":
				t.Fails = value
			default:
				return fail(fmt.Errorf("unknown header %q", key))
			}
		}
	}
	return nil
}

// addEvents adds an event; "repeat N" in front of its kind makes N of it.
func addEvents(events []Entry, e Entry) ([]Entry, error) {
	if e.Kind != "repeat" {
		return append(events, e), nil
	}
	if len(e.Flags) < 2 {
		return nil, fmt.Errorf("expected repeat N KIND")
	}
	n, err := strconv.ParseUint(e.Flags[0], 10, 20)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("not a number of events: %s", e.Flags[0])
	}
	e.Kind, e.Flags = e.Flags[1], e.Flags[2:]
	for range n {
		events = append(events, e)
		e.raw = nil // it stands in the tape once
	}
	return events, nil
}

// usePreset reads presets/NAME.tape and puts the rest of the line into its
// configuring command, in place of the columns of the same names.
func usePreset(dir, line string) ([]Step, error) {
	over, err := parseEntry(dir, line)
	if err != nil {
		return nil, err
	}
	p, err := Load(dir, "presets/"+over.Kind)
	if err != nil {
		return nil, err
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		s.preset = true
		for j := range s.Commands {
			c := &s.Commands[j]
			if !strings.HasPrefix(c.Kind, "configure-") {
				continue
			}
			c.Flags = append(c.Flags, over.Flags...)
			for _, a := range over.Args {
				c.set(a)
			}
		}
	}
	return p.Steps, nil
}

func (e *Entry) set(a Arg) {
	for i := range e.Args {
		if e.Args[i].Key == a.Key {
			e.Args[i] = a
			return
		}
	}
	e.Args = append(e.Args, a)
}
