//go:build !wasip1

package core

import "slices"

// What a server tells browsers (Fetch standard, "CORS protocol") about its own
// fields: package abigen writes it into the hosts' tables. The module has no use
// for it.

// CORSMethods are the HTTP methods of calls.
func CORSMethods() []string { return []string{"GET", "POST"} }

// CORSRequestFields are the fields that a page's clients may want to send.
func CORSRequestFields() []string {
	fields := []field{fieldContentType}
	for _, d := range browserDialects() {
		fields = append(fields, d.version, d.timeout, d.coding, d.accept)
	}
	// PROTOCOL-WEB.md, "HTTP wire protocols": browsers keep user-agent to themselves;
	// its own client sends the other, too.
	return append(namesOf(fields), "x-grpc-web", "x-user-agent")
}

// CORSResponseFields are the fields of responses that a page's clients have to see.
func CORSResponseFields() []string {
	fields := []field{fieldStatus, fieldMessage, fieldDetails}
	for _, d := range browserDialects() {
		fields = append(fields, d.coding, d.accept)
	}
	return namesOf(fields)
}

// CORSTrailerPrefix stands before the names of trailing metadata where they are
// fields of a response's head.
const CORSTrailerPrefix = trailerPrefix

// browserDialects are those that a page can speak, which sees no trailers.
func browserDialects() (found []*dialect) {
	for _, d := range dialects {
		if !d.trailers {
			found = append(found, d)
		}
	}
	return found
}

// namesOf are the names of fields, each once.
func namesOf(fields []field) (names []string) {
	for _, f := range fields {
		if f != fieldNone && !slices.Contains(names, fieldNames[f]) {
			names = append(names, fieldNames[f])
		}
	}
	return names
}
