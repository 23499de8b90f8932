package verify

import (
	"testing"
	"testing/synctest"
	"time"
)

// The faults of clocks, and of time that passes unnoticed.

func TestFaultReaderClockStepsBack(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.log.life = 3 * time.Minute
		tr.follow()
		token := tr.token(map[string]any{"exp": time.Now().Add(90 * time.Second).Unix()})
		tr.revoke(token)
		live := tr.token(nil)
		expired := tr.token(map[string]any{"exp": time.Now().Add(10 * time.Second).Unix()})
		tr.pass(20 * time.Second)
		tr.wall.Store(int64(-time.Hour))
		tr.pass(30 * time.Second)
		if _, err := tr.v.Verify(tr.Context(), expired); !refused(err, "expired") {
			tr.Errorf("a clock that was set back revives a token: %v", err)
		}
		tr.takes("after the step", live)
		if n := tr.log.served().streams; n != 2 {
			tr.Errorf("%d streams, want one more after the step", n)
		}
		// Long after its entry is over.
		tr.pass(6 * time.Minute)
		if n := tr.v.Health().Entries; n != 0 {
			tr.Errorf("%d entries are kept for ever", n)
		}
		if _, err := tr.v.Verify(tr.Context(), token); !refused(err, "expired") {
			tr.Errorf("revoked, expired, and not refused: %v", err)
		}
		tr.done()
	})
}

// Entries are not forgotten by a wall clock that was ahead for a while.
func TestFaultReaderClockStepsForward(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		token := tr.token(map[string]any{"exp": time.Now().Add(4 * time.Hour).Unix()})
		tr.revoke(token)
		tr.pass(time.Second)
		tr.wall.Store(int64(24 * time.Hour))
		tr.pass(2 * time.Minute)
		tr.wall.Store(0)
		tr.pass(2 * time.Minute)
		tr.refuses("its entry lives for two hours", token)
		tr.takes("a live one", tr.token(nil))
		tr.done()
	})
}

func TestFaultMachineSleeps(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		token, live := tr.token(nil), tr.token(nil)
		tr.takes("before", token)
		// It sleeps for a minute in which nothing arrives: its wall clock goes on, and the
		// other one does not.
		release := tr.log.hold()
		tr.wall.Store(int64(time.Minute))
		tr.revoke(token)
		tr.tokens[token] = time.Now().Add(-time.Minute)
		tr.waits("it awakes", live)
		tr.pass(3 * time.Second)
		tr.waits("and has not heard anything", live)
		release()
		tr.pass(3 * time.Second)
		tr.refuses("afterwards", token)
		tr.takes("afterwards", live)
		tr.done()
	})
}

// It sleeps while the first answer is under way, which is old when it comes.
func TestFaultMachineSleepsWhileItConnects(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live, token := tr.token(nil), tr.token(nil)
		tr.takes("before", token)
		release := tr.log.hold()
		tr.log.drop()
		time.Sleep(500 * time.Millisecond) // connected again; the answer is under way
		tr.wall.Store(int64(time.Minute))
		tr.log.do(func() {
			// What is held back was written before the token was revoked.
			tr.log.mute = true
			tr.log.mangle = func(string) string { return ": lost\n\n" }
		})
		tr.revoke(token)
		tr.tokens[token] = time.Now().Add(-time.Minute)
		release()
		synctest.Wait()
		tr.waits("it awakes", live)
		tr.pass(3 * time.Second)
		tr.waits("still", live)
		tr.log.do(func() { tr.log.mute, tr.log.mangle = false, nil })
		tr.log.drop()
		tr.pass(8 * time.Second)
		tr.takes("afterwards", live)
		tr.refuses("afterwards", token)
		tr.done()
	})
}

// A virtual machine that is stopped takes both of its clocks with it. The next
// heartbeat tells.
func TestFaultMachineStands(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live, token := tr.token(nil), tr.token(nil)
		tr.pass(3 * time.Second)
		tr.log.do(func() { tr.log.mangle = func(string) string { return ": lost\n\n" } })
		tr.revoke(token)
		// A minute passes elsewhere, and the reader's clocks don't notice.
		tr.log.do(func() { tr.log.step = time.Minute; tr.log.mangle = nil })
		tr.log.do(func() {
			tr.log.mangle = func(event string) string {
				tr.log.mangle, tr.log.refuse = nil, 503 // one heartbeat, and then nothing
				return event
			}
		})
		time.Sleep(1100 * time.Millisecond)
		tr.waits("by a heartbeat a minute ahead", live)
		tr.log.do(func() { tr.log.refuse = 0 })
		tr.pass(6 * time.Second)
		tr.takes("measured anew", live)
		tr.refuses("measured anew", token)
		tr.done()
	})
}

func TestFaultServerClockStepsBack(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live := tr.token(map[string]any{"exp": time.Now().Add(4 * time.Hour).Unix()})
		token := tr.token(nil)
		tr.log.do(func() { tr.log.step = -time.Hour })
		tr.pass(3 * time.Second)
		tr.revoke(token)
		tr.pass(time.Minute)
		tr.refuses("entries are taken all the same", token)
		tr.waits("nothing is confirmed", live)
		if tr.v.Health().Fresh {
			tr.Error("fresh by heartbeats that go back")
		}
		tr.log.do(func() { tr.log.step = 0 })
		tr.pass(10 * time.Second)
		tr.takes("once the clock is right", live)
		tr.done()
	})
}

// An issuer whose clock never goes back stands still instead. A nonce proves every few
// seconds that nothing is held back.
func TestFaultServerClockStands(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		live, taken := tr.token(nil), 0
		tr.log.do(func() { tr.log.stands = time.Now() })
		for i := range 60 {
			if i == 30 {
				tr.revoked()
			}
			tr.pass(time.Second)
			if _, err := tr.v.Verify(tr.Context(), live); err == nil {
				taken++
			}
		}
		if taken < 55 {
			tr.Errorf("a live token was taken %d times of 60", taken)
		}
		tr.done()
	})
}

func TestFaultServerClockStepsForward(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		tr.pass(5 * time.Second)
		tr.log.do(func() { tr.log.step = time.Hour })
		long := map[string]any{"exp": time.Now().Add(5 * time.Hour).Unix()}
		token, live := tr.token(long), tr.token(long)
		tr.pass(3 * time.Second)
		tr.takes("the measure begins anew", live)
		// Then the network holds everything back. By the old measure it would seem an hour
		// younger than it is.
		release := tr.log.hold()
		tr.revoke(token)
		tr.pass(4 * time.Second)
		tr.takes("within the bound", live)
		tr.pass(3 * time.Second)
		tr.waits("beyond it", live)
		tr.pass(time.Minute)
		release()
		tr.pass(5 * time.Second)
		tr.refuses("at last", token)
		tr.takes("at last", live)
		tr.done()
	})
}

// Everything is held back for a minute, heartbeats too, and then comes at once.
func TestFaultReaderPaused(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		token, live := tr.token(nil), tr.token(nil)
		tr.takes("before", token)
		release := tr.log.hold()
		time.Sleep(2 * time.Second)
		tr.revoke(token)
		for range 58 {
			time.Sleep(time.Second)
			tr.probe()
		}
		tr.waits("after a minute", live)
		release()
		tr.pass(3 * time.Second)
		tr.takes("afterwards", live)
		tr.refuses("afterwards", token)
		tr.done()
	})
}

// The issuer's clock is a little fast, as clocks are. It is measured anew before that
// matters, and nobody notices.
func TestFaultClocksDrift(t *testing.T) {
	inTime(t, func(tr *trial) {
		tr.follow()
		for range 100 {
			time.Sleep(time.Minute)
			tr.log.do(func() { tr.log.step += 12 * time.Millisecond }) // 200 parts in a million
		}
		if n := tr.log.served().streams; n != 2 || tr.count(FeedStale) != 0 {
			tr.Errorf("%d streams, stale %d times", n, tr.count(FeedStale))
		}
		token := tr.revoked()
		tr.pass(time.Second)
		tr.refuses("at the end", token)
		tr.takes("at the end", tr.token(nil))
		tr.done()
	})
}
