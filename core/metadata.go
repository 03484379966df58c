package core

// Metadata that an application gives, on its way to being fields.

// BrokenFields stands for fields whose count does not fit their bytes: one of
// them holds a NUL. What is done about it depends on where they stand.
var BrokenFields = Fields{list{n: -1}}

// RawFields takes fields without checking their count. It is for heads, whose
// readers check it on the way.
func RawFields(count int, b []byte) Fields { return Fields{list{b, count}} }

// section says which fields a section's metadata may not be.
type section func(name []byte) bool

// checkMetadata finds out whether the application's metadata can be sent. It
// returns what is wrong, or nothing: a field that cannot be written must not
// reach the wire, since it would end this field and begin another.
func checkMetadata(fields Fields, binary Pairs, reserved section) string {
	if fields.n < 0 {
		return "a metadata name or value has a NUL"
	}
	for fields.n > 0 {
		switch name, value := fields.cut(); {
		case !ValidFieldName(name):
			return metadataFault(name, "has a name that is not a lower-case HTTP token")
		case !ValidFieldValue(value):
			return metadataFault(name, "has characters in its value that an HTTP field cannot hold")
		case reserved(name):
			return metadataFault(name, "has a name that belongs to the protocol")
		case IsBinaryName(name) && !validBase64(value):
			return metadataFault(name, "has a name that ends in -bin, and its text is not base64")
		}
	}
	for binary.n > 0 {
		switch name, _ := binary.cut(); {
		case !ValidFieldName(name) || !IsBinaryName(name):
			return metadataFault(name, "is binary, and its name is not a lower-case HTTP token that ends in -bin")
		case reserved(name):
			return metadataFault(name, "has a name that belongs to the protocol")
		}
	}
	return ""
}

// metadataFault names a field, as far as its name can be shown, but not its value.
func metadataFault(name []byte, what string) string {
	return `the metadata "` + string(shown(name)) + `" ` + what
}

// validBase64 says whether a peer would decode the value of a -bin field.
func validBase64(value []byte) bool {
	var p Pairs
	return AppendBinaryValues(&p, nil, value)
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
