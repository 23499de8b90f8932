package e2e

import (
	"slices"
	"strings"
	"testing"
)

// TestAcknowledgements holds what TestSyncedBeforeAcknowledged takes for durable.
func TestAcknowledgements(t *testing.T) {
	t.Parallel()
	const (
		ask    = `1 read(9<socket:[7]>, "POST /token HTTP/1.1\r\nHost: l"..., 4096) = 300`
		other  = `1 read(8<socket:[6]>, "POST /token HTTP/1.1\r\nHost: l"..., 4096) = 300`
		get    = `1 read(9<socket:[7]>, "GET /jwks HTTP/1.1\r\nHost: l"..., 4096) = 300`
		write  = `2 pwrite64(4</d/jeton.db-wal>, "\0\1\"\\"..., 4096, 32) = 4096`
		sync   = `2 fsync(4</d/jeton.db-wal>) = 0`
		answer = `3 write(9<socket:[7]>, "HTTP/1.1 200 OK\r\nCache-Cont"..., 900) = 900`
	)
	for name, c := range map[string]struct {
		trace []string
		want  []bool
	}{
		"as it should be":          {[]string{ask, write, write, sync, answer}, []bool{true}},
		"fdatasync":                {[]string{ask, write, `2 fdatasync(4</d/jeton.db-wal>) = 0`, answer}, []bool{true}},
		"no sync":                  {[]string{ask, write, answer}, []bool{false}},
		"no write":                 {[]string{ask, sync, answer}, []bool{false}},
		"the sync comes after":     {[]string{ask, write, answer, sync}, []bool{false}},
		"the sync comes before":    {[]string{ask, sync, write, answer}, []bool{false}},
		"another request's sync":   {[]string{write, sync, ask, write, answer}, []bool{false}},
		"another file's sync":      {[]string{ask, write, `2 fsync(5</d/jeton.db>) = 0`, answer}, []bool{false}},
		"the sync failed":          {[]string{ask, write, `2 fsync(4</d/jeton.db-wal>) = -1 EIO (Input/output error)`, answer}, []bool{false}},
		"the sync has not ended":   {[]string{ask, write, `2 fsync(4</d/jeton.db-wal> <unfinished ...>`, answer, `2 <... fsync resumed>) = 0`}, []bool{false}},
		"the sync ended in time":   {[]string{ask, write, `2 fsync(4</d/jeton.db-wal> <unfinished ...>`, `2 <... fsync resumed>) = 0`, answer}, []bool{true}},
		"the write has not ended":  {[]string{ask, `4 pwrite64(4</d/jeton.db-wal>, "x", 1, 0 <unfinished ...>`, sync, `4 <... pwrite64 resumed>) = 1`, answer}, []bool{false}},
		"the next group writes":    {[]string{ask, write, sync, write, answer, sync}, []bool{true}},
		"the first byte was read":  {[]string{`1 read(9<socket:[7]>, "P", 1) = 1`, `1 read(9<socket:[7]>, "OST /revoke HTTP/1.1\r\n"..., 4096) = 300`, write, sync, answer}, []bool{true}},
		"a read that had to wait":  {[]string{`1 read(9<socket:[7]>,  <unfinished ...>`, write, sync, `1 <... read resumed>"POST /token HTTP/1.1\r\n"..., 4096) = 300`, answer}, []bool{false}},
		"what only reads":          {[]string{get, answer}, nil},
		"a refusal":                {[]string{ask, `3 write(9<socket:[7]>, "HTTP/1.1 400 Bad Request\r\n"..., 90) = 90`}, nil},
		"the answer never went":    {[]string{ask, write, `3 write(9<socket:[7]>, "HTTP/1.1 200 OK\r\n"..., 90 <unfinished ...>`, `3 +++ killed by SIGKILL +++`}, nil},
		"another connection's":     {[]string{other, write, answer}, nil},
		"two on one connection":    {[]string{ask, write, sync, answer, ask, write, answer}, []bool{true, false}},
		"one sync for two answers": {[]string{ask, other, write, write, sync, answer, strings.ReplaceAll(answer, "9<socket:[7]>", "8<socket:[6]>")}, []bool{true, true}},
	} {
		calls, err := parseTrace(strings.NewReader(strings.Join(c.trace, "\n")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []bool
		for _, a := range acknowledgements(calls) {
			got = append(got, a.durable)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: durable %v, want %v", name, got, c.want)
		}
	}
	if _, err := parseTrace(strings.NewReader("read(9<socket:[7]>) = 0")); err == nil {
		t.Error("a trace without threads was taken")
	}
}
