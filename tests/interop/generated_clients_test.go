package interop

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What our client makes of each generated response, and what the peers' do.

// moments are those that the form's response can come at.
func (f *form) moments() []moment {
	switch {
	case f.json(): // which messages are in does not change when they come
	case f.target == clientPath:
		return []moment{late, first, once, split}
	case f.target == bidiPath:
		return []moment{late, talk, first, once, split}
	}
	return []moment{late}
}

// ear has two clients get responses.
type ear struct {
	t            *testing.T
	server       *cannedServer
	mine, theirs caller
	each         int // of so many responses they get one; 0: of each
	asked        int
	all          []generated
}

func (e *ear) hear(f *form, m moment, c content, end end, head string) {
	if e.asked++; e.each > 0 && e.asked%e.each != 0 {
		return
	}
	e.server.Store(newCanned(f, m, c, end, head))
	e.all = append(e.all, generated{form: f, content: c.name, fields: head, end: end.name, moment: m,
		ours: e.mine(e.t, f, m), theirs: e.theirs(e.t, f, m)})
}

func responseContents() []content {
	return slices.DeleteFunc(contents(), func(c content) bool { return strings.HasPrefix(c.name, "an error") }) // for servers
}

func headNames() []string { return slices.Sorted(maps.Keys(heads())) }

// listen has them get each end with the right head, and each head with a good end,
// at these moments, or at all that the forms have.
func (e *ear) listen(forms []*form, at ...moment) {
	for _, f := range forms {
		for _, m := range f.moments() {
			if at != nil && !slices.Contains(at, m) {
				continue
			}
			for _, c := range responseContents() {
				plain := c.name == "a message" || c.name == "nothing"
				for _, end := range ends() {
					if plain || m == late && !end.rare {
						e.hear(f, m, c, end, rightHead)
					}
				}
				// A conversation needs a head that both take: a peer may wait for more of the
				// content of another one.
				for _, head := range headNames() {
					if m == late && !f.json() || plain && m != talk {
						e.hear(f, m, c, goodEnd(), head)
					}
				}
			}
		}
	}
}

// listenRandomly has them get any content, with any end and head, at any moment.
func (e *ear) listenRandomly(forms []*form) {
	rounds, err := strconv.Atoi(os.Getenv("HOSTILE_ROUNDS"))
	if err != nil {
		rounds = 3
	}
	r := rand.New(rand.NewPCG(17, 19))
	contents, ends, names := responseContents(), ends(), headNames()
	for range rounds * 300 {
		f := forms[r.IntN(len(forms))]
		moments := slices.DeleteFunc(f.moments(), func(m moment) bool { return m == talk })
		e.hear(f, moments[r.IntN(len(moments))], contents[r.IntN(len(contents))], ends[r.IntN(len(ends))], names[r.IntN(len(names))])
	}
}

// checkHeads fails where a head that means nothing changes what our client makes of
// a response.
func checkHeads(t *testing.T, all []generated) {
	t.Helper()
	right := map[string]*answered{}
	for i := range all {
		if g := all[i]; g.heads(rightHead) {
			right[g.String()] = &all[i].ours
		}
	}
	checked := 0
	for i := range all {
		g := all[i]
		if !g.heads("a parameter", "a type in capitals", "identity named", "a coding of no name", "hints before it") {
			continue
		}
		head := g.fields
		g.fields = rightHead
		if same := right[g.String()]; same != nil {
			if checked++; *same != g.ours {
				t.Errorf("%s with %s: we have %s, want %s", &g, head, &g.ours, same)
			}
		}
	}
	if checked == 0 {
		t.Error("no head was checked")
	}
}

func TestGeneratedClientsConnectGo(t *testing.T) {
	v := versions[1]
	server, url := serveCanned(t, v)
	httpClient := v.client(t)
	e := &ear{t: t, server: server, mine: ourCaller(t, url, httpClient), theirs: connectGoCaller(url, httpClient)}
	e.listen(forms())
	checkHeads(t, e.all)
	e.listenRandomly(forms())
	judge(t, connectGoClientDifferences, e.all)
}

// Over HTTP/1.1 connect-go has no bidi calls, and an early response that ends may
// break off what net/http still sends, so that what a client sees is a matter of luck.
func TestGeneratedClientsHTTP1(t *testing.T) {
	v := versions[0]
	server, url := serveCanned(t, v)
	httpClient := v.client(t)
	some := slices.DeleteFunc(forms(), func(f *form) bool { return f.json() || f.target != clientPath })
	e := &ear{t: t, server: server, mine: ourCaller(t, url, httpClient), theirs: connectGoCaller(url, httpClient)}
	e.listen(some, late, split)
	judge(t, http1Differences, e.all)
}

func TestGeneratedClientsGRPCGo(t *testing.T) {
	v := versions[1]
	server, url := serveCanned(t, v)
	some := slices.DeleteFunc(forms(), func(f *form) bool { return f.contentType != grpcTypes+"+proto" })
	e := &ear{t: t, server: server, mine: ourCaller(t, url, v.client(t)), theirs: grpcGoCaller(t, url)}
	e.listen(some)
	e.listenRandomly(some)
	judge(t, grpcGoClientDifferences, e.all)
}
