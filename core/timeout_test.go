package core

import "testing"

func TestParseTimeouts(t *testing.T) {
	for _, c := range []struct {
		parse func([]byte) (uint64, bool)
		text  string
		us    uint64
		ok    bool
	}{
		{ParseConnectTimeout, "0", 0, true},
		{ParseConnectTimeout, "1", 1000, true},
		{ParseConnectTimeout, "05000", 5_000_000, true},
		{ParseConnectTimeout, "9999999999", 9_999_999_999_000, true},
		{ParseConnectTimeout, "00000000000", 0, false},
		{ParseConnectTimeout, "10000000000", 0, false},
		{ParseConnectTimeout, "", 0, false},
		{ParseConnectTimeout, "-1", 0, false},
		{ParseConnectTimeout, "+1", 0, false},
		{ParseConnectTimeout, " 1", 0, false},
		{ParseConnectTimeout, "1 ", 0, false},
		{ParseConnectTimeout, "1.5", 0, false},
		{ParseConnectTimeout, "0x10", 0, false},
		{ParseConnectTimeout, "1_000", 0, false},
		{ParseConnectTimeout, "1e3", 0, false},
		{ParseConnectTimeout, "5s", 0, false},
		{ParseConnectTimeout, "١", 0, false}, // a digit, but not of ASCII

		{ParseGRPCTimeout, "1H", 3_600_000_000, true},
		{ParseGRPCTimeout, "2M", 120_000_000, true},
		{ParseGRPCTimeout, "3S", 3_000_000, true},
		{ParseGRPCTimeout, "4m", 4000, true},
		{ParseGRPCTimeout, "5u", 5, true},
		{ParseGRPCTimeout, "6n", 1, true},
		{ParseGRPCTimeout, "1000n", 1, true},
		{ParseGRPCTimeout, "1001n", 2, true},
		{ParseGRPCTimeout, "0n", 0, true},
		{ParseGRPCTimeout, "0S", 0, true},
		{ParseGRPCTimeout, "99999999H", 359_999_996_400_000_000, true},
		{ParseGRPCTimeout, "000000001S", 0, false},
		{ParseGRPCTimeout, "123456789n", 0, false},
		{ParseGRPCTimeout, "", 0, false},
		{ParseGRPCTimeout, "S", 0, false},
		{ParseGRPCTimeout, "1", 0, false},
		{ParseGRPCTimeout, "1s", 0, false},
		{ParseGRPCTimeout, "1h", 0, false},
		{ParseGRPCTimeout, "-1S", 0, false},
		{ParseGRPCTimeout, "+1S", 0, false},
		{ParseGRPCTimeout, " 1S", 0, false},
		{ParseGRPCTimeout, "1 S", 0, false},
		{ParseGRPCTimeout, "1S ", 0, false},
		{ParseGRPCTimeout, "1.5S", 0, false},
		{ParseGRPCTimeout, "1ms", 0, false},
	} {
		us, ok := c.parse([]byte(c.text))
		if ok != c.ok || ok && us != c.us {
			t.Errorf("%q: %d, %v", c.text, us, ok)
		}
	}
}

func TestAppendTimeouts(t *testing.T) {
	for _, c := range []struct {
		us            uint64
		connect, grpc string
	}{
		{0, "0", "0u"},
		{1, "1", "1u"}, // never zero before it has passed
		{999, "1", "999u"},
		{1000, "1", "1000u"},
		{1001, "2", "1001u"},
		{5_000_000, "5000", "5000000u"},
		{99_999_999, "100000", "99999999u"},
		{100_000_000, "100000", "100000m"},
		{100_000_001, "100001", "100001m"},
		{99_999_999_000, "99999999", "99999999m"},
		{99_999_999_001, "100000000", "100000S"},
		{9_999_999_999_000, "9999999999", "10000000S"},
		{9_999_999_999_001, "9999999999", "10000000S"},
		{99_999_999_000_000, "9999999999", "99999999S"},
		{99_999_999_000_001, "9999999999", "1666667M"},
		{6_000_000_000_000_000, "9999999999", "1666667H"},
		{NoTimeout - 1, "9999999999", "99999999H"},
	} {
		if got := string(AppendConnectTimeout([]byte("x"), c.us)); got != "x"+c.connect {
			t.Errorf("Connect, %d us: %s", c.us, got)
		}
		if got := string(AppendGRPCTimeout([]byte("x"), c.us)); got != "x"+c.grpc {
			t.Errorf("gRPC, %d us: %s", c.us, got)
		}
	}
}
