package verify

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// inTime runs a trial in a bubble of its own time.
func inTime(t *testing.T, run func(*trial)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { run(newTrial(t)) })
}

func TestFeed(t *testing.T) {
	inTime(t, func(tr *trial) {
		before := tr.revoked()
		tr.follow()
		tr.refuses("revoked before", before)
		for name, c := range map[string]struct {
			kind    feed.Kind
			value   string
			changes map[string]any
		}{
			"token":   {feed.Token, "a.1", map[string]any{"jti": "a.1"}},
			"grant":   {feed.Grant, "b", map[string]any{"jti": "b.1"}},
			"session": {feed.Session, "s1", map[string]any{"jti": "c.1", "sid": "s1"}},
			"subject": {feed.Subject, "bob", map[string]any{"jti": "d.1", "sub": "bob"}},
			"client":  {feed.Client, "cli", map[string]any{"jti": "e.1", "client_id": "cli"}},
		} {
			seen, unseen := tr.token(c.changes), tr.token(c.changes)
			tr.takes(name, seen)
			tr.takes(name+" again", seen)
			tr.log.revoke(c.kind, c.value)
			synctest.Wait()
			tr.refuses(name+" seen before", seen)
			tr.refuses(name+" never seen", unseen)
			if c.kind.Cutoff() {
				tr.takes(name+" after a cutoff", tr.token(c.changes))
			}
		}
		old := tr.token(map[string]any{"rev": nil})
		tr.takes("without rev", old)
		tr.log.revoke(feed.All, "")
		synctest.Wait()
		tr.refuses("without rev", old)
		time.Sleep(time.Second)
		next := tr.token(nil)
		tr.takes("after all", next)
		tr.log.revoke(feed.Key, "es256")
		synctest.Wait()
		tr.refuses("its key", next)
		tr.done()
	})
}

func TestFeedHealth(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.revoked()
		tr.follow()
		time.Sleep(1500 * time.Millisecond)
		h := tr.v.Health()
		if !h.Fresh || !h.Connected || h.Form != "stream" || h.Head != 1 || h.Incarnation != "life-1" || h.Entries != 1 || h.ViewBytes == 0 ||
			h.Staleness < 0 || h.Staleness > time.Second || h.Err != nil || h.KeysAge != 1500*time.Millisecond || h.Bound != tr.bound {
			tr.Errorf("%+v", h)
		}
		if tr.count(FeedConnected) != 1 || tr.count(FeedSnapshot) != 1 || tr.count(FeedFresh) != 1 {
			tr.Errorf("%v", tr.events)
		}
	})
}

// A snapshot of many batches, and a stream that goes on for hours.
func TestFeedLarge(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.log.do(func() {
			for i := range 3*feed.MaxBatch + 5 {
				tr.log.add(feed.Token, fmt.Sprint("x.", i))
			}
		})
		token := tr.revoked()
		tr.follow()
		tr.refuses("in the last batch", token)
		if n := tr.v.Health().Entries; n != 3*feed.MaxBatch+6 {
			tr.Errorf("%d entries", n)
		}
		for range 20 {
			time.Sleep(time.Minute)
			if !tr.v.Health().Fresh {
				tr.Fatal("it went stale")
			}
			tr.log.revoke(feed.Grant, "g")
		}
		token = tr.revoked()
		synctest.Wait()
		tr.refuses("at the end", token)
		if n := tr.log.served().streams; n != 1 {
			tr.Errorf("%d streams", n)
		}
	})
}
