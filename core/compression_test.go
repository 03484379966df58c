package core

import "testing"

func TestCodingIndex(t *testing.T) {
	codings := []string{"gzip", "br", "zstd"}
	for name, want := range map[string]int{
		"": 0, "identity": 0, "Identity": 0, " ": 0, "gzip": 1, "GZIP": 1, "x-gzip": 1, " br ": 2, "zstd": 3,
		"foo": -1, "gzip, br": -1, "gzip;q=1": -1, "gzi": -1, "*": -1, "\x00": -1,
	} {
		if got := CodingIndex([]byte(name), codings); got != want {
			t.Errorf("%q: %d", name, got)
		}
	}
	if CodingIndex([]byte("gzip"), nil) != -1 || CodingIndex([]byte("x-gzip"), []string{"br"}) != -1 {
		t.Error("a coding that is not there")
	}
}

func TestNegotiateCoding(t *testing.T) {
	both := []string{"gzip", "br"}
	for _, c := range []struct {
		accept  string
		codings []string
		want    int
	}{
		{"", both, 0},
		{"gzip", both, 1},
		{"br", both, 2},
		{"br, gzip", both, 2}, // equal weights: the client's order
		{"br,gzip", []string{"br", "gzip"}, 1},
		{"GZip", both, 1},
		{"x-gzip", both, 1},
		{"foo", both, 0},
		{"foo, br", both, 2},
		{"gzip;q=0.5, br;q=0.8", both, 2},
		{"gzip;q=0.5,br;q=0.501", both, 2},
		{"gzip ; q=0.5 , br\t;\tq=1.000", both, 2},
		{"gzip;Q=0.5, br", both, 2},
		{"gzip;q=0", both, 0},
		{"gzip;q=0.000, br;q=0.001", both, 2},
		{"gzip;q=0, *", both, 2},
		{"*", both, 1},
		{"*;q=0", both, 0},
		{"*;q=0.1, br;q=0", both, 1},
		{"*;q=0.5, br", both, 2},
		{"identity", both, 0},
		{"identity, gzip", both, 1}, // identity is the least preferred
		{"identity;q=0.5, gzip;q=0.4", both, 0},
		{"identity;q=0.5, gzip;q=0.5", both, 1},
		{"identity;q=0, gzip;q=0.001", both, 1},
		{"identity;q=0", both, 0}, // there is nothing else
		{"identity;q=0, *;q=0", both, 0},
		{"gzip", nil, 0},
		{"gzip;q=2, br", both, 2},
		{"gzip;q=1.001", both, 0},
		{"gzip;q=", both, 0},
		{"gzip;q=-1", both, 0},
		{"gzip;q=.5", both, 0},
		{"gzip;q=0.1234", both, 0},
		{"gzip;q=0,5", both, 0},
		{"gzip;x=1", both, 0},
		{"gzip;q=1;x=1", both, 0},
		{"gzip;", both, 1},
		{"gzip;q=0.", both, 0},
		{"gzip;q=1.", both, 1},
		{",, ,gzip,,", both, 1},
		{"gzip br", both, 0},
		{"gzip;q=0.x, gzip", both, 1},
	} {
		if got := NegotiateCoding([]byte(c.accept), c.codings); got != c.want {
			t.Errorf("%q: %d, want %d", c.accept, got, c.want)
		}
	}
}
