package e2e

import (
	"maps"
	"net/http"
	"sync"
	"testing"
)

// TestGrowth counts rows and bytes around ten thousand rotations of one grant and ten
// thousand tokens by client_credentials: rows grow with grants, never with tokens.
func TestGrowth(t *testing.T) {
	t.Parallel()
	const many, workers = 10_000, 8
	i := start(t)
	robot := basic("robot", robotSecret)
	refresh := i.ada().tokens(shop, "openid offline_access orders:read").refresh()
	// Once before the count, so that what is made once is there.
	refresh = i.rotate(shop, refresh).want(200, "").refresh()
	i.post("/token", robot, "grant_type", "client_credentials", "scope", "orders:read").want(200, "")
	count := func() (map[string]int64, int64) {
		t.Helper()
		i.stop() // which empties the log into the database
		db := i.database()
		counts := rows(t, db)
		delete(counts, "leases")  // one a job, made when the job first runs
		delete(counts, "outages") // one a start, and 16 at most
		return counts, size(t, db)
	}
	before, bytes := count()
	grants := before["grants"]
	if grants != 1 {
		t.Fatalf("%d grants after one login", grants)
	}

	i.begin()
	grant := grantID(t, refresh)
	first := number(t, refresh)
	for range many {
		next := i.post("/token", shop.as, "grant_type", "refresh_token", "refresh_token", refresh, "scope", "offline_access orders:read", "resource", orders)
		refresh = next.want(200, "").refresh()
	}
	if n := number(t, refresh); n != first+many {
		t.Errorf("the number is %d after %d rotations from %d", n, many, first)
	}
	after, grown := count()
	if !maps.Equal(after, before) || grown > bytes {
		t.Errorf("%d rotations: rows %v and %d bytes, were %v and %d", many, after, grown, before, bytes)
	}
	if n, live := grantNumber(t, i.database(), grant); n != first+many || !live {
		t.Errorf("the row has number %d, live %v", n, live)
	}

	i.begin()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range many / workers {
				resp, err := i.ask("/token", robot, "grant_type", "client_credentials", "scope", "orders:read")
				if err != nil {
					t.Error(err)
					return
				}
				got, err := readTokens(resp)
				resp.Body.Close()
				if err != nil || resp.StatusCode != http.StatusOK || got.Access == "" {
					t.Errorf("client_credentials: %d %v", resp.StatusCode, err)
					return
				}
			}
		})
	}
	group.Wait()
	after, grown = count()
	if !maps.Equal(after, before) || grown > bytes {
		t.Errorf("%d tokens by client_credentials: rows %v and %d bytes, were %v and %d", many, after, grown, before, bytes)
	}
}
