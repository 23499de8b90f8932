package demo

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/jeton-auth/jeton/oauth"
)

// measurement is how long an access token was good at the API after the issuer had
// answered that it is revoked.
type measurement struct {
	At    time.Time
	Took  time.Duration
	Calls int // of the API within that time; the last one was refused
}

// timesKept is how many measurements there are at most.
const timesKept = 100

// times are the newest measurements, of everybody who uses the app.
type times struct {
	mu  sync.Mutex
	all []measurement // the newest last
}

func (t *times) add(m measurement) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, m)
	t.all = t.all[max(0, len(t.all)-timesKept):]
}

func (t *times) list() []measurement {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}

// How long the API is asked after a revocation, and the pause between two calls:
// so short that it adds nothing to a figure with a tenth of a millisecond.
const (
	revokeWait  = 5 * time.Second
	revokePause = 50 * time.Microsecond
)

// trial is a revocation and what the API did then.
type trial struct {
	answered time.Duration // the issuer took to revoke
	was      bool          // the API took the token before
	refused  bool
	took     time.Duration // from the issuer's answer to the API's last one
	calls    int
	last     *reply
}

// try revokes a token at the issuer and then asks the API until it refuses the access
// token. The figure is the longest that it can be: it has the whole of the call that was
// refused in it. Without a trial the issuer did not revoke; with one and an error the
// API did not answer.
func (a *web) try(ctx context.Context, token, hint string, access *oauth2.Token) (*trial, error) {
	before, err := a.ask(ctx, access) // opens the connection, too
	t := &trial{was: err == nil && before.status == http.StatusOK}
	began := time.Now()
	if err := a.tellIssuer(ctx, token, hint); err != nil {
		return nil, err
	}
	revoked := time.Now()
	t.answered = revoked.Sub(began)
	pause := time.NewTicker(revokePause)
	defer pause.Stop()
	for {
		p, err := a.ask(ctx, access)
		t.took = time.Since(revoked)
		t.calls++
		if err != nil {
			return t, err
		}
		t.last, t.refused = p, p.status == http.StatusUnauthorized
		switch {
		case t.refused && t.was:
			a.times.add(measurement{a.clock.Now(), t.took, t.calls})
			return t, nil
		case t.refused || t.took > revokeWait:
			return t, nil
		}
		<-pause.C
	}
}

// result is what is shown of a trial.
func (t *trial) result(err error) *result {
	switch {
	case t == nil:
		return &result{Title: "The issuer did not revoke.", Detail: explain(err)}
	case err != nil:
		return &result{Title: "Revoked, but the API did not answer.", Detail: err.Error()}
	case !t.refused:
		return t.last.into(&result{Title: "Revoked, but the API has not refused the token.", Detail: fmt.Sprintf("It was asked %d times within %s.", t.calls, ms(t.took))})
	case !t.was:
		return t.last.into(&result{Good: true, Title: "Revoked.", Detail: "The API refused the token before already."})
	}
	which := "the first call"
	if t.calls > 1 {
		which = fmt.Sprintf("call number %d", t.calls)
	}
	return t.last.into(&result{Good: true, Title: "Revoked.", Detail: fmt.Sprintf(
		"The issuer answered in %s. The API refused the token %s later, at %s.", ms(t.answered), ms(t.took), which)})
}

// rounds is how many times one click measures.
const rounds = 10

// measure revokes a fresh access token some times. Each is revoked alone: the grant
// lives on, and in the end there is a good token again. An issuer may end a grant of
// which very many tokens were revoked; the person logs in again then.
func (a *web) measure(ctx context.Context, acc *account) *result {
	var took []time.Duration
	for range rounds {
		if r := a.refresh(ctx, acc); !r.Good {
			if acc.revoked && len(took) > 0 {
				break
			}
			return r
		}
		t, err := a.try(ctx, acc.token.AccessToken, oauth.HintAccessToken, acc.token)
		if t == nil || !t.refused {
			return t.result(err)
		}
		if t.was {
			took = append(took, t.took)
		}
	}
	if r := a.refresh(ctx, acc); !r.Good && !acc.revoked {
		return r
	}
	if len(took) == 0 {
		return &result{Title: "Nothing was measured.", Detail: "The API refused every token before it was revoked."}
	}
	r := &result{Good: true, Title: "Measured.", Detail: fmt.Sprintf(
		"%d fresh access tokens were revoked. Half were refused within %s, all within %s.", len(took), ms(median(took)), ms(slices.Max(took)))}
	if acc.revoked {
		r.Detail += " The issuer ended the grant then, since so many of its tokens were revoked: log in again to go on."
	}
	return r
}

// median is the middle one of some durations, or between the two in the middle.
func median(all []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(all))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// timesView is the page of measurements.
type timesView struct {
	Rows            []measurement // the newest first
	Median, Slowest string
	Chart           chart
	Rounds, Kept    int
	May             bool // whoever looks can measure
}

// Milliseconds is the figure of a row.
func (m measurement) Milliseconds() string {
	return fmt.Sprintf("%.2f", float64(m.Took)/float64(time.Millisecond))
}

// Clock is the time of a row.
func (m measurement) Clock() string { return m.At.UTC().Format("15:04:05") }

func (a *web) showTimes(w http.ResponseWriter, r *http.Request) {
	all := a.times.list()
	took := make([]time.Duration, len(all))
	for i, m := range all {
		took[i] = m.Took
	}
	v := &timesView{Rounds: rounds, Kept: timesKept}
	if len(took) > 0 {
		v.Median, v.Slowest, v.Chart = ms(median(took)), ms(slices.Max(took)), newChart(took)
	}
	slices.Reverse(all)
	v.Rows = all
	page := view{Title: "Revocation times", Brand: "Demo web app", Wide: true, Options: a.opts, Times: v}
	if s := a.sessions.find(r); s != nil {
		s.mu.Lock()
		v.May = s.account != nil && !s.account.revoked
		page.Last = s.last[timesPage]
		s.mu.Unlock()
	}
	a.pages.write(w, http.StatusOK, "times", page, a.opts.Issuer)
}
