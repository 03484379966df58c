package core

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// Code and tapes cite rules of our own by number; RULES.md must list each of
// them, and what RULES.md names in backquotes as code must exist.
func TestCitedRulesExist(t *testing.T) {
	page, err := os.ReadFile("RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) `).FindAllSubmatch(page, -1) {
		listed[string(m[1])] = true
	}
	sources, _ := filepath.Glob("*.go")
	tapes, _ := filepath.Glob("../tests/tapes/*/*.tape")
	if len(listed) < 11 || len(tapes) == 0 {
		t.Fatalf("%d rules and %d tapes found", len(listed), len(tapes))
	}
	cited := regexp.MustCompile(`(?i)ours, rules? (\d+)`)
	code := ""
	for _, name := range append(sources, tapes...) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range cited.FindAllSubmatch(text, -1) {
			if !listed[string(m[1])] {
				t.Errorf("%s cites rule %s, which RULES.md does not list", name, m[1])
			}
		}
		if filepath.Ext(name) == ".go" {
			code += string(text)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\|.*\\|([^|]*)\\|$").FindAllSubmatch(page, -1) {
		for _, m := range regexp.MustCompile("`([A-Za-z.]+)`").FindAllSubmatch(row[1], -1) {
			word := regexp.MustCompile(`\w+$`).FindString(string(m[1]))
			if _, err := os.Stat(string(m[1])); err != nil && !regexp.MustCompile(`\b`+word+`\b`).MatchString(code) {
				t.Errorf("RULES.md names %s, which does not exist", m[1])
			}
		}
	}
}
