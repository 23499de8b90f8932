package verify

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jeton-auth/jeton/oauth/feed"
)

// In each of these tests something goes wrong, and tokens that are revoked all the
// while are tried every tenth of a second. None may be taken outside of the bound.

func TestFaultCutInMidEvent(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live, token := tr.token(nil), tr.token(nil)
		tr.takes("before", token)
		tr.log.do(func() { // the next event ends half way, and the stream with it
			tr.log.mangle = func(event string) string {
				tr.log.mangle = nil
				cut := tr.log.cut
				tr.log.cut = make(chan struct{})
				close(cut)
				return event[:len(event)/2]
			}
		})
		tr.revoke(token)
		tr.pass(2 * time.Second)
		tr.refuses("after the cut", token)
		tr.takes("the other", live)
		if got := tr.log.served(); got.streams != 2 || got.snapshots != 1 {
			tr.Errorf("%+v, want it to go on where it was", got)
		}
		tr.done()
	})
}

func TestFaultServerRestarts(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.revoked()
		tr.follow()
		live := tr.token(nil)
		for range 3 {
			tr.is.set(func() { tr.is.down = true })
			tr.log.drop()
			tr.pass(3 * time.Second)
			tr.takes("within the bound", live)
			token := tr.revoked() // by another node, say
			tr.is.set(func() { tr.is.down = false })
			tr.pass(5 * time.Second)
			tr.refuses("revoked meanwhile", token)
			tr.takes("back", live)
		}
		if n := tr.log.served().snapshots; n != 1 {
			tr.Errorf("%d snapshots", n)
		}
		last := tr.log.served().last
		if !strings.Contains(last, "after=3") || !strings.Contains(last, "inc=life-1") || !strings.Contains(last, "nonce=") {
			tr.Errorf("it resumed with %s", last)
		}
		tr.is.set(func() { tr.is.down = true })
		tr.log.drop()
		tr.pass(6 * time.Second)
		tr.waits("a long outage", live)
		tr.is.set(func() { tr.is.down = false })
		tr.pass(6 * time.Second)
		tr.takes("after it", live)
		tr.done()
	})
}

func TestFaultHeadRolledBack(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.log.revoke(feed.Token, "other.1")
		tr.log.revoke(feed.Token, "other.2")
		tr.follow()
		token := tr.revoked()
		tr.pass(2 * time.Second)
		var newest string
		tr.log.do(func() {
			tr.log.sign = func(h feed.Heartbeat) string { newest = heartbeatBy(feedSigner(), h); return newest }
		})
		tr.pass(1500 * time.Millisecond)
		tr.log.do(func() { tr.log.sign = nil })
		// The database is that of an hour ago, and its incarnation is the same.
		tr.log.do(func() { tr.log.entries, tr.log.hashes = tr.log.entries[:1], tr.log.hashes[:2] })
		tr.log.drop()
		tr.pass(10 * time.Second)
		tr.refuses("what was learnt stays", token)
		tr.waits("a log that went back is not believed", tr.token(nil))
		tr.log.mu.Lock()
		want := newest
		tr.log.mu.Unlock()
		if last := tr.log.served().last; want == "" || !strings.Contains(last, "heartbeat="+want) {
			tr.Errorf("it does not show what was signed: %s", last)
		}
		if tr.count(FeedBroken) == 0 {
			tr.Error("nobody was told")
		}
		tr.pass(time.Minute)
		tr.waits("nor later", tr.token(nil))
		tr.done()
	})
}

func TestFaultFork(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.log.revoke(feed.Token, "other.1")
		tr.follow()
		token := tr.revoked()
		tr.pass(2 * time.Second)
		// Another log with the same numbers, and then with more.
		tr.log.do(func() {
			n := len(tr.log.entries)
			tr.log.begin("life-1")
			for i := range n {
				tr.log.add(feed.Token, fmt.Sprint("fork.", i))
			}
		})
		tr.log.drop()
		tr.pass(6 * time.Second)
		tr.refuses("what was learnt stays", token)
		tr.waits("a fork", tr.token(nil))
		tr.log.revoke(feed.Token, "fork.next")
		tr.pass(10 * time.Second)
		tr.waits("a longer fork", tr.token(nil))
		if err := tr.v.Health().Err; err == nil || !strings.Contains(err.Error(), "two") {
			tr.Errorf("Health tells %v", err)
		}
		tr.done()
	})
}

func TestFaultForgedHeartbeats(t *testing.T) {
	for name, sign := range map[string]func(feed.Heartbeat) string{
		"by a token key": func(h feed.Heartbeat) string { return heartbeatBy(es256(), h) },
		"by an unknown key": func(h feed.Heartbeat) string {
			return heartbeatBy(other(), h)
		},
		"of another typ": func(h feed.Heartbeat) string {
			return feedSigner().jws(feedSigner().header("at+jwt"), string(must(h.Payload())))
		},
		"of another issuer": func(h feed.Heartbeat) string {
			h.Issuer = "https://evil.example"
			return heartbeatBy(feedSigner(), h)
		},
		"with a bad signature": func(h feed.Heartbeat) string {
			good := heartbeatBy(feedSigner(), h)
			h.AsOf++
			bad := heartbeatBy(feedSigner(), h)
			return good[:strings.LastIndexByte(good, '.')] + bad[strings.LastIndexByte(bad, '.'):]
		},
		"with no algorithm": func(h feed.Heartbeat) string {
			return enc(`{"alg":"none","kid":"feed","typ":"jeton-feed+jwt"}`) + "." + enc(string(must(h.Payload()))) + "."
		},
		"garbage":     func(feed.Heartbeat) string { return "garbage" },
		"very long":   func(feed.Heartbeat) string { return strings.Repeat("x", feed.MaxHeartbeat+1) },
		"not as JSON": func(feed.Heartbeat) string { return feedSigner().jws(feedSigner().header(feed.Typ), "[]") },
		"with another hash": func(h feed.Heartbeat) string {
			h.Hash[0] ^= 1
			return heartbeatBy(feedSigner(), h)
		},
		"far ahead": func(h feed.Heartbeat) string {
			h.N += 5
			return heartbeatBy(feedSigner(), h)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(tr *trial) {
				tr.follow()
				token, live := tr.token(nil), tr.token(nil)
				tr.takes("before", live)
				tr.pass(2 * time.Second)
				tr.log.do(func() {
					tr.log.sign = sign
					// The forger holds the entry back.
					tr.log.mangle = func(event string) string {
						if strings.HasPrefix(event, "event: "+feed.EventHeartbeat) {
							return event
						}
						return ": nothing\n\n"
					}
				})
				tr.revoke(token)
				tr.pass(20 * time.Second)
				tr.waits("nothing is confirmed", live)
				tr.log.do(func() { tr.log.sign, tr.log.mangle = nil, nil })
				tr.pass(10 * time.Second)
				tr.refuses("afterwards", token)
				tr.takes("afterwards", live)
				if tr.count(FeedBadHeartbeat) == 0 {
					tr.Error("nobody was told")
				}
				if n := tr.is.count("/jwks"); n > 40 {
					tr.Errorf("%d fetches of the keys", n)
				}
				tr.done()
			})
		})
	}
}

func TestFaultReplayedHeartbeats(t *testing.T) {
	inTime(t, func(tr *trial) {
		var kept string
		tr.log.do(func() {
			tr.log.sign = func(h feed.Heartbeat) string {
				kept = heartbeatBy(feedSigner(), h)
				return kept
			}
		})
		tr.follow()
		tr.pass(2 * time.Second)
		token, live := tr.token(nil), tr.token(nil)
		tr.log.do(func() {
			tr.log.sign = func(feed.Heartbeat) string { return kept }
			tr.log.mangle = func(event string) string {
				if strings.HasPrefix(event, "event: "+feed.EventHeartbeat) {
					return event
				}
				return ": nothing\n\n"
			}
		})
		tr.revoke(token)
		tr.pass(20 * time.Second)
		tr.waits("by an old heartbeat", live)
		tr.done()
	})
}

// The issuer's node is up, and its database is not: entries don't come, and no
// heartbeat.
func TestFaultNoHeartbeats(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live := tr.token(nil)
		tr.takes("before", live)
		tr.log.do(func() { tr.log.mute = true })
		tr.pass(3 * time.Second)
		tr.takes("within the bound", live)
		tr.pass(time.Minute)
		tr.waits("beyond it", live)
		tr.log.do(func() { tr.log.mute = false })
		token := tr.revoked()
		tr.pass(10 * time.Second)
		tr.takes("afterwards", live)
		tr.refuses("afterwards", token)
		if tr.count(FeedStale) != 1 || tr.count(FeedFresh) != 2 {
			tr.Errorf("%v", tr.events)
		}
		tr.done()
	})
}

func TestFaultNewIncarnation(t *testing.T) {
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprint("named=", named), func(t *testing.T) {
			inTime(t, func(tr *trial) {
				tr.log.revoke(feed.Token, "other.1")
				tr.follow()
				token := tr.revoked()
				tr.pass(2 * time.Second)
				// Restored from a backup that has neither.
				tr.log.do(func() {
					tr.log.begin("life-2")
					if named {
						tr.log.was = []string{"life-1"}
					}
				})
				tr.log.drop()
				tr.pass(10 * time.Second)
				tr.refuses("what was learnt stays", token)
				live := tr.token(nil)
				if !named {
					tr.waits("a stranger's log", live)
				} else {
					tr.takes("its successor", live)
					if h := tr.v.Health(); h.Incarnation != "life-2" || h.Entries != 2 {
						tr.Errorf("%+v", h)
					}
					// The one before is not believed any more.
					tr.log.do(func() { tr.log.begin("life-1"); tr.log.was = []string{"life-2"} })
					tr.log.drop()
					tr.pass(10 * time.Second)
					tr.waits("a log that was left", live)
				}
				tr.done()
			})
		})
	}
}

func TestFaultSnapshotLacksEntries(t *testing.T) {
	inTime(t, func(tr *trial) {
		for i := range 10 {
			tr.log.revoke(feed.Token, fmt.Sprint("other.", i))
		}
		token := tr.revoked()
		tr.log.revoke(feed.Token, "other.last")
		tr.log.do(func() { tr.log.base, tr.log.first = 11, 3 })
		v, err := tr.try()
		if err == nil {
			v.Close()
			tr.Fatal("a snapshot that lacks entries is enough for New")
		}
		if !strings.Contains(err.Error(), "lacks entries") {
			tr.Error(err)
		}
		tr.follow(Lazy())
		tr.pass(20 * time.Second)
		tr.waits("not begun", token)
		tr.log.do(func() { tr.log.base, tr.log.first = 2, 3 })
		tr.pass(6 * time.Second)
		tr.refuses("a whole snapshot", token)
		tr.takes("a whole snapshot", tr.token(nil))
		// What is over may be lacking.
		tr.log.do(func() { tr.log.base, tr.log.first = 12, 13 })
		tr.log.drop()
		tr.pass(2 * time.Second)
		tr.refuses("what was learnt stays", token)
		tr.takes("after it", tr.token(nil))
		tr.done()
	})
}

func TestFaultViewLimit(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow(Feed(APISecret(apiID, apiSecret), ViewLimit(64<<10)))
		live := tr.token(nil)
		token := tr.revoked()
		tr.pass(time.Second)
		tr.takes("before", live)
		tr.log.do(func() {
			for i := range 3000 {
				tr.log.add(feed.Token, fmt.Sprint("many.", i))
			}
		})
		late := tr.revoked()
		tr.pass(90 * time.Second)
		tr.refuses("nothing is dropped", token)
		tr.waits("it is full", live)
		tr.waits("what found no room", late)
		if h := tr.v.Health(); h.Fresh || h.Err == nil || h.ViewBytes > 70<<10 {
			tr.Errorf("%+v", h)
		}
		tr.done()
	})
}

func TestFaultUnknownKind(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live := tr.token(nil)
		tr.takes("before", live)
		tr.log.do(func() {
			tr.log.mangle = func(event string) string { return strings.Replace(event, `"k":"grant"`, `"k":"tenant"`, 1) }
		})
		tr.log.revoke(feed.Grant, "x")
		synctest.Wait()
		tr.waits("at once", live)
		tr.pass(20 * time.Second)
		tr.waits("and later", live)
		tr.done()
	})
}

// A gap in the numbers.
func TestFaultGap(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		tr.pass(time.Second)
		tr.log.do(func() {
			tr.log.mangle = func(event string) string {
				if strings.HasPrefix(event, "event: "+feed.EventRevocations) {
					tr.log.mangle = nil
					return ": lost\n\n"
				}
				return event
			}
		})
		token := tr.revoked()
		tr.pass(100 * time.Millisecond)
		tr.log.revoke(feed.Token, "other.1")
		tr.pass(2 * time.Second)
		tr.refuses("after the gap", token)
		tr.takes("after the gap", tr.token(nil))
		if n := tr.log.served().snapshots; n != 2 || tr.count(FeedBroken) != 1 {
			tr.Errorf("%d snapshots, broken %d times", n, tr.count(FeedBroken))
		}
		tr.done()
	})
}

// A client mints and revokes five thousand tokens a second.
func TestFaultFlood(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live := tr.token(nil)
		for i := range 50 {
			token := tr.token(map[string]any{"client_id": "flood"})
			tr.takes("minted", token)
			tr.log.do(func() {
				for n := range 500 {
					tr.log.add(feed.Token, fmt.Sprint("flood.", i, ".", n))
				}
			})
			tr.revoke(token)
			synctest.Wait()
			tr.refuses("revoked in the flood", token)
			tr.pass(100 * time.Millisecond)
		}
		tr.takes("another client's", live)
		if h := tr.v.Health(); !h.Fresh || h.Entries != 50*501 || tr.log.served().streams != 1 {
			tr.Errorf("%+v, %+v", tr.log.served(), h)
		}
		tr.done()
	})
}

// Credentials that are taken back end in ErrUnavailable, and New says why.
func TestFaultCredentials(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live := tr.token(nil)
		tr.log.do(func() { tr.log.refuse = http.StatusUnauthorized })
		tr.log.drop()
		tr.pass(10 * time.Second)
		tr.waits("without credentials", live)
		if v, err := tr.try(); err == nil || !strings.Contains(err.Error(), "401") {
			tr.Errorf("%v, %v", v, err)
		}
		tr.log.do(func() { tr.log.refuse = 0 })
		tr.pass(6 * time.Second)
		tr.takes("again", live)
		tr.done()
	})
}
