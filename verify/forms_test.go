package verify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// follows is what must hold in every form of the feed.
func (tr *trial) follows(latency time.Duration) {
	tr.Helper()
	live, token := tr.token(nil), tr.token(nil)
	for range 20 {
		tr.pass(time.Second)
		tr.takes("while nothing is wrong", live)
	}
	tr.takes("not yet revoked", token)
	tr.revoke(token)
	time.Sleep(latency)
	synctest.Wait()
	tr.refuses("revoked", token)
	tr.log.do(func() { // more than fits one batch
		for i := range 2*feed.MaxBatch + 300 {
			tr.log.add(feed.Token, fmt.Sprint("many.", i))
		}
	})
	last := tr.revoked()
	tr.pass(3 * time.Second)
	tr.refuses("the last of many", last)
	tr.takes("afterwards", live)
	tr.log.do(func() { tr.log.mute = true })
	tr.pass(8 * time.Second)
	tr.waits("without heartbeats", live)
	tr.log.do(func() { tr.log.mute = false })
	tr.pass(12 * time.Second)
	tr.takes("with heartbeats again", live)
	if h := tr.v.Health(); h.Head != tr.log.head() || h.Entries < 2*feed.MaxBatch {
		tr.Errorf("%+v", h)
	}
}

func TestPollsWhereStreamsAreRefused(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.log.do(func() { tr.log.forms = "json" })
		tr.revoked()
		tr.follow()
		if h := tr.v.Health(); h.Form != "poll" || !h.Fresh {
			tr.Errorf("%+v", h)
		}
		tr.follows(50 * time.Millisecond)
		tr.log.do(func() { tr.log.forms = "any" })
		time.Sleep(pollAgain + time.Second)
		if h := tr.v.Health(); h.Form != "stream" || !h.Fresh {
			tr.Errorf("it does not try to stream again: %+v", h)
		}
		tr.done()
	})
}

func TestPollsWhereAnotherThingAnswers(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.is.override["/revocations"] = func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Accept"), eventStream) {
				w.Header().Set("Content-Type", "application/json")
				w.Write([]byte("{}"))
				return
			}
			tr.log.ServeHTTP(w, r)
		}
		tr.follow()
		if h := tr.v.Health(); h.Form != "poll" || !h.Fresh {
			tr.Errorf("%+v", h)
		}
	})
}

// A proxy that gathers a stream lets nothing through.
func TestPollsWhereStreamsAreHeldBack(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.is.override["/revocations"] = func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Accept"), eventStream) {
				<-r.Context().Done()
				return
			}
			tr.log.ServeHTTP(w, r)
		}
		tr.follow()
		if h := tr.v.Health(); h.Form != "poll" || !h.Fresh {
			tr.Errorf("%+v", h)
		}
		tr.follows(50 * time.Millisecond)
		tr.done()
	})
}

func TestPollFaults(t *testing.T) {
	for name, change := range map[string]func(*trial){
		"heartbeats of another nonce": func(tr *trial) {
			tr.log.sign = func(h feed.Heartbeat) string {
				h.Nonce = "mine"
				return heartbeatBy(feedSigner(), h)
			}
		},
		"no JSON": func(tr *trial) {
			tr.is.set(func() {
				tr.is.override["/revocations"] = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }
			})
		},
		"heartbeats by a token key": func(tr *trial) {
			tr.log.sign = func(h feed.Heartbeat) string { return heartbeatBy(es256(), h) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(tr *trial) {
				tr.log.do(func() { tr.log.forms = "json" })
				tr.follow()
				live := tr.token(nil)
				tr.takes("before", live)
				tr.log.do(func() { change(tr) })
				tr.pass(10 * time.Second)
				tr.waits("nothing is confirmed", live)
				tr.log.do(func() { tr.log.sign = nil })
				tr.is.set(func() { delete(tr.is.override, "/revocations") })
				tr.pass(10 * time.Second)
				tr.takes("afterwards", live)
				tr.done()
			})
		})
	}
}

func TestThroughCache(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.log.do(func() {
			for i := range 3*feed.SegmentSize + 7 {
				tr.log.add(feed.Token, fmt.Sprint("old.", i))
			}
			tr.log.base, tr.log.first = 300, 301 // the first segment is gone
		})
		early := tr.revoked()
		tr.follow(Feed(APISecret(apiID, apiSecret), FeedThroughCache(issuerURL+"/revocations/")))
		if h := tr.v.Health(); h.Form != "cache" || !h.Fresh {
			tr.Errorf("%+v", h)
		}
		tr.refuses("in the tail", early)
		tr.log.do(func() { tr.log.base = 0 })
		tr.follows(1100 * time.Millisecond)
		before := tr.is.count("/revocations/segments/2")
		tr.pass(5 * time.Second)
		if tr.is.count("/revocations/segments/2") != before {
			tr.Error("a segment is fetched twice")
		}
		tr.done()
	})
}

// The cache is stuck: its copy ages by the wall clock, and by the other one too if the
// wall clock is set back.
func TestThroughCacheFaults(t *testing.T) {
	for name, wall := range map[string]time.Duration{"a right clock": 0, "a clock set back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(tr *trial) {
				tr.follow(Feed(APISecret(apiID, apiSecret), FeedThroughCache(issuerURL+"/revocations")))
				live, token := tr.token(map[string]any{"exp": time.Now().Add(3 * time.Hour).Unix()}), tr.token(nil)
				tr.takes("before", live)
				rec := httptest.NewRecorder()
				tr.log.serveHead(rec)
				tr.is.set(func() {
					tr.is.override["/revocations/head"] = func(w http.ResponseWriter, _ *http.Request) { w.Write(rec.Body.Bytes()) }
				})
				tr.wall.Store(int64(wall))
				tr.revoke(token)
				tr.pass(20 * time.Second)
				tr.waits("a copy that is old", live)
				tr.is.set(func() { delete(tr.is.override, "/revocations/head") })
				tr.pass(8 * time.Second)
				tr.refuses("afterwards", token)
				tr.takes("afterwards", live)
				tr.done()
			})
		})
	}
}

// The wall clock must be right for this form: one that is ahead refuses.
func TestThroughCacheByAClockAhead(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.wall.Store(int64(10 * time.Second))
		tr.follow(Feed(APISecret(apiID, apiSecret), FeedThroughCache(issuerURL+"/revocations")), Lazy())
		tr.pass(5 * time.Second)
		tr.waits("ten seconds ahead", tr.token(nil))
		tr.done()
	})
}

func TestThroughCacheBeginsAgain(t *testing.T) {
	through := Feed(APISecret(apiID, apiSecret), FeedThroughCache(issuerURL+"/revocations"))
	for name, c := range map[string]struct {
		change func(*trial)
		ok     bool
	}{
		"a successor": {func(tr *trial) { tr.log.begin("life-2"); tr.log.was = []string{"life-1"} }, true},
		"a stranger":  {func(tr *trial) { tr.log.begin("life-2") }, false},
		"a rollback":  {func(tr *trial) { tr.log.entries, tr.log.hashes = tr.log.entries[:1], tr.log.hashes[:2] }, false},
		"a fork": {func(tr *trial) {
			n := len(tr.log.entries)
			tr.log.begin("life-1")
			for i := range n {
				tr.log.add(feed.Token, fmt.Sprint("fork.", i))
			}
		}, false},
		"it was away for long": {func(tr *trial) {
			for i := range 1000 {
				tr.log.add(feed.Token, fmt.Sprint("many.", i))
			}
			tr.log.base, tr.log.first = 900, 901
		}, true},
		"garbage": {func(tr *trial) {
			tr.is.set(func() {
				tr.is.override["/revocations/head"] = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }
			})
		}, false},
		"a garbage tail": {func(tr *trial) {
			tr.is.set(func() {
				tr.is.override["/revocations/head"] = func(w http.ResponseWriter, _ *http.Request) {
					fmt.Fprintf(w, `{"heartbeat":%q,"tail":[]}`, heartbeatBy(feedSigner(), tr.log.heartbeat(1, "")))
				}
			})
		}, false},
		"garbage segments": {func(tr *trial) {
			for i := range 2 * feed.SegmentSize {
				tr.log.add(feed.Token, fmt.Sprint("many.", i))
			}
			tr.is.set(func() {
				tr.is.override["/revocations/segments/0"] = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) }
			})
		}, false},
		"heartbeats by a token key": {func(tr *trial) {
			tr.log.sign = func(h feed.Heartbeat) string { return heartbeatBy(es256(), h) }
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(tr *trial) {
				tr.log.revoke(feed.Token, "other.1")
				tr.follow(through)
				token := tr.revoked()
				tr.pass(2 * time.Second)
				tr.refuses("before", token)
				tr.log.do(func() { c.change(tr) })
				tr.pass(15 * time.Second)
				tr.refuses("what was learnt stays", token)
				if live := tr.token(map[string]any{"rev": 1 << 40}); c.ok {
					tr.takes("it began again", live)
				} else {
					tr.waits("it does not believe that", live)
				}
				tr.done()
			})
		})
	}
}

// Without the issuer a lazy verifier waits, and follows as soon as there is one.
func TestLazyFeed(t *testing.T) {
	for name, opt := range map[string]Option{
		"stream": Feed(APISecret(apiID, apiSecret)), "cache": Feed(APISecret(apiID, apiSecret), FeedThroughCache(issuerURL+"/revocations")),
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(tr *trial) {
				tr.is.down = true
				tr.follow(Lazy(), opt)
				token := tr.revoked()
				live := tr.token(nil)
				tr.pass(10 * time.Second)
				tr.waits("no issuer", live)
				if h := tr.v.Health(); h.Fresh || h.Staleness >= 0 || h.KeysAge >= 0 || h.Err == nil {
					tr.Errorf("%+v", h)
				}
				tr.is.set(func() { tr.is.down = false })
				tr.pass(10 * time.Second)
				tr.takes("an issuer", live)
				tr.refuses("an issuer", token)
				tr.done()
			})
		})
	}
}
