package core

import "encoding/base64"

// Metadata: how much of it a section may have, and what an application gives, on its
// way to being fields.

// BrokenFields stands for fields whose count does not fit their bytes: one of
// them holds a NUL. What is done about it depends on where they stand.
var BrokenFields = Fields{list{n: -1}}

// RawFields takes fields without checking their count. It is for heads, whose
// readers check it on the way.
func RawFields(count int, b []byte) Fields { return Fields{list{b, count}} }

// section says which fields a section's metadata may not be.
type section func(name []byte) bool

// weight is what metadata counts for the limits of a section: values, and the bytes
// of them and of their names. Binary ones count as their text, where that is at hand.
type weight struct{ count, size int }

func weigh(text Fields, binary Pairs) weight {
	return weight{text.n + binary.n, len(text.b) - max(2*text.n-1, 0) + len(binary.b) - pairHead*binary.n}
}

func (w *weight) add(more weight) { w.count, w.size = w.count+more.count, w.size+more.size }

// tooMuch: ours, rule 5.
func (w weight) tooMuch() bool { return w.count > MaxMetadataFields || w.size > MaxMetadata }

// checkMetadata finds out whether the application's metadata can be sent, beside
// what its section has, to which it is added. It returns what is wrong, or OK: a
// field that cannot be written must not reach the wire, since it would end this
// field and begin another. Ours, rule 5.
func checkMetadata(has *weight, fields Fields, binary Pairs, reserved section) (Code, string) {
	if fields.n < 0 {
		return Internal, "a metadata name or value has a NUL"
	}
	for fields.n > 0 {
		var values Pairs
		name, value := fields.cut()
		switch {
		case !ValidFieldName(name):
			return metadataFault(name, "has a name that is not a lower-case HTTP token")
		case !ValidFieldValue(value):
			return metadataFault(name, "has characters in its value that an HTTP field cannot hold")
		case reserved(name):
			return metadataFault(name, "has a name that belongs to the protocol")
		case !IsBinaryName(name) || AppendBinaryValues(&values, name, value):
			list := weigh(Fields{}, values) // as a peer may see it
			has.add(weight{max(list.count, 1), max(list.size, len(name)+len(value))})
		default:
			return metadataFault(name, "has a name that ends in -bin, and its text is not base64")
		}
	}
	for binary.n > 0 {
		name, value := binary.cut()
		has.add(weight{1, len(name) + base64.RawStdEncoding.EncodedLen(len(value))})
		switch {
		case !ValidFieldName(name) || !IsBinaryName(name):
			return metadataFault(name, "is binary, and its name is not a lower-case HTTP token that ends in -bin")
		case reserved(name):
			return metadataFault(name, "has a name that belongs to the protocol")
		}
	}
	if has.tooMuch() {
		return ResourceExhausted, "there is more metadata than 64 KiB or 256 values: send it as a message"
	}
	return OK, ""
}

// metadataFault names a field, as far as its name can be shown, but not its value.
func metadataFault(name []byte, what string) (Code, string) {
	return Internal, `the metadata "` + string(shown(name)) + `" ` + what
}

// addMetadata adds metadata as HTTP fields, each name after a prefix.
func addMetadata(dst *Fields, prefix string, fields Fields, binary Pairs, scratch []byte) []byte {
	for fields.n > 0 {
		name, value := fields.cut()
		scratch = append(append(scratch[:0], prefix...), name...)
		dst.Add(scratch, value)
	}
	for binary.n > 0 {
		name, value := binary.cut()
		scratch = append(append(scratch[:0], prefix...), name...)
		n := len(scratch)
		scratch = AppendBase64(scratch, value)
		dst.Add(scratch[:n], scratch[n:])
	}
	return scratch
}
