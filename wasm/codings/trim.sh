#!/bin/sh
# Makes what the codings' module is built from into the directory $1: a go.mod that
# is the repository's but for the brotli library, which comes from a copy less
#
# - http.go: it would link net/http, which is half as much again as the module;
# - the clearing of tables of codes, which are overwritten before they are read (the
#   C library does not clear them either): it takes as long for a block of no bytes
#   as for a large one, so a few MiB of such blocks would take minutes;
# - the loop that repeats a short text byte by byte, in which a bomb spends nearly
#   all of its time: lz/ does it in a few copies.
#
# Run it in the repository's root: `make wasm` does.
set -eu
brotli=$(go list -m -f '{{.Dir}}' github.com/andybalholm/brotli)
rm -rf "$1"
mkdir -p "$1/brotli/matchfinder"
cp go.mod go.sum "$1"
cp "$brotli/go.mod" "$brotli"/*.go "$1/brotli"
cp "$brotli"/matchfinder/*.go "$1/brotli/matchfinder"
chmod -R u+w "$1/brotli"
rm "$1"/brotli/http*.go
clears='^	clear(s\.[a-z_]*_hgroup\.\(codes\|htrees\))$'
loop='/^		var wrap_guard int = s\.ringbuffer_size - pos$/,/^		}$/'
test "$(grep -c "$clears" "$1/brotli/state.go"; sed -n "${loop}p" "$1/brotli/decode.go" | cksum)" = "6
1981047007 291" || { echo "$0: the brotli library has changed" >&2; exit 1; }
sed -i "/$clears/d" "$1/brotli/state.go"
sed -i "s,^package brotli$,&\n\nimport \"github.com/connectcore/connectcore/wasm/codings/lz\",
${loop}c\\
		if n := min(i, s.ringbuffer_size-pos); n > 0 {\\
			lz.CopyWithin(s.ringbuffer[:s.ringbuffer_size], s.distance_code, pos, n)\\
			i -= n\\
			pos += n\\
			if pos == s.ringbuffer_size {\\
				s.state = stateCommandPostWrite2\\
				goto saveStateAndReturn\\
			}\\
		} else if i > 0 {\\
			return decoderErrorUnreachable\\
		}" "$1/brotli/decode.go"
go mod edit -replace="github.com/andybalholm/brotli=./$1/brotli" "$1/go.mod"
