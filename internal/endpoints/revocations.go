package endpoints

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/clientauth"
	"github.com/jeton-auth/jeton/internal/directory"
	"github.com/jeton-auth/jeton/internal/feed"
	"github.com/jeton-auth/jeton/internal/revoke"
	"github.com/jeton-auth/jeton/internal/store"
	"github.com/jeton-auth/jeton/internal/tokens"
	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
	wire "github.com/jeton-auth/jeton/oauth/feed"
)

// Revocations is GET /revocations, the revocation feed (docs/revocation-feed.md), for
// protected APIs by their introspection secret and for whoever has an access token
// with the scope jeton:feed.
type Revocations struct {
	Door
	Issuer    string
	Clients   *clientauth.Clients
	Directory *directory.Directory
	Store     *store.Store
	Reader    *tokens.Reader
	Feed      *feed.Feed
	// WentBack notes that a reader proved that the database went back in time.
	WentBack func(ctx context.Context, why string, by audit.Origin) error
}

const (
	maxWait      = 30 * time.Second
	writeTimeout = 10 * time.Second // of one write to a stream
)

// ServeHTTP streams to who accepts events, and answers others with JSON.
func (v *Revocations) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	may, params, err := v.admit(w, r)
	if err != nil {
		v.refuse(w, r, err)
		return
	}
	req, wait, refusal := feedRequest(r.Header, params)
	if shown := params.Get("heartbeat"); shown != "" && refusal == nil {
		v.shown(w, r, shown)
	}
	switch {
	case refusal != nil:
		v.fail(w, r, refusal)
	case acceptsEvents(r.Header):
		v.stream(w, r, req, may)
	default:
		// The server's bounds on a connection are shorter than the longest wait.
		c := http.NewResponseController(w)
		_ = errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Now().Add(wait+writeTimeout)))
		doc, err := v.Feed.Poll(r.Context(), req, wait)
		if err != nil {
			v.unavailable(w, r, err)
			return
		}
		web.RawJSON(w, http.StatusOK, doc)
	}
}

// shown looks at the newest heartbeat that a reader has. The reader is served all the
// same: what it lacks is more important.
func (v *Revocations) shown(w http.ResponseWriter, r *http.Request, heartbeat string) {
	why, err := v.Feed.Beyond(r.Context(), heartbeat)
	if err == nil && why != "" {
		err = v.WentBack(r.Context(), why, v.origin(w, r))
	}
	if err != nil {
		v.Log.Warn("the heartbeat that a reader of the feed showed was not judged", slog.Any("error", err), slog.String("request", web.RequestID(w)))
	}
}

// Head is GET /revocations/head: the small signed document beside the segments. A
// shared cache may keep it for those who show the same credentials: so all nodes of an
// API cost one request a second.
func (v *Revocations) Head(w http.ResponseWriter, r *http.Request) {
	if _, _, err := v.admit(w, r); err != nil {
		v.refuse(w, r, err)
		return
	}
	doc, err := v.Feed.Head()
	if err != nil {
		v.unavailable(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "max-age=1, s-maxage=1")
	h.Set("Vary", "Authorization, DPoP") // a bound token without its proof gets nothing that is kept
	_, _ = w.Write(doc)
}

// Segment is GET /revocations/segments/{k}. It needs no credentials: what is in it
// means nothing to who does not hold the tokens.
func (v *Revocations) Segment(w http.ResponseWriter, r *http.Request) {
	k, err := strconv.ParseInt(r.PathValue("k"), 10, 64)
	if err != nil || strconv.FormatInt(k, 10) != r.PathValue("k") {
		k = -1
	}
	doc, err := v.Feed.Segment(r.Context(), k)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	switch {
	case errors.Is(err, revoke.ErrAhead):
		web.JSON(w, http.StatusNotFound, errorBody{oauth.InvalidRequest, "there is no such segment, or it is not full yet"})
	case errors.Is(err, revoke.ErrGone):
		web.JSON(w, http.StatusGone, errorBody{oauth.InvalidRequest, "this segment is no longer needed: begin with the one that first of the head names"})
	case err != nil:
		v.unavailable(w, r, err)
	default:
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(doc)
	}
}

// feedRequest reads what a reader asks for.
func feedRequest(h http.Header, p web.Params) (req feed.Request, wait time.Duration, refusal *oauth.Error) {
	req = feed.Request{After: -1, Incarnation: p.Get("inc"), Nonce: p.Get("nonce")}
	after := p.Get("after")
	if last := h.Get("Last-Event-ID"); last != "" {
		after = last
	}
	if after != "" {
		n, err := strconv.ParseInt(after, 10, 64)
		if err != nil || n < 0 {
			return req, 0, oauth.Refuse(oauth.InvalidRequest, "after is not the number of an entry: leave it out to begin with a snapshot")
		}
		req.After = n
	}
	if len(req.Nonce) > wire.MaxNonce {
		return req, 0, oauth.Refuse(oauth.InvalidRequest, "nonce has more than %d characters", wire.MaxNonce)
	}
	if text := p.Get("wait"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > maxWait {
			return req, 0, oauth.Refuse(oauth.InvalidRequest, "wait is not a time such as 20s, from 0s to %s", maxWait)
		}
		wait = d
	}
	return req, wait, nil
}

func acceptsEvents(h http.Header) bool {
	for _, value := range h.Values("Accept") {
		for part := range strings.SplitSeq(value, ",") {
			kind, _, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/event-stream") {
				return true
			}
		}
	}
	return false
}

// stream serves events until one of the two ends. The status goes out with the first
// of them, so that what fails before has its own.
func (v *Revocations) stream(w http.ResponseWriter, r *http.Request, req feed.Request, may func() bool) {
	c := http.NewResponseController(w)
	_ = c.SetReadDeadline(time.Time{}) // the request is read; its connection lives on
	begun := false
	err := v.Feed.Stream(r.Context(), req, may, func(event []byte) error {
		if !begun {
			begun = true
			h := w.Header()
			h.Set("Content-Type", "text/event-stream")
			h.Set("Cache-Control", "no-store")
			h.Set("X-Accel-Buffering", "no") // nginx would gather events otherwise
		}
		if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := w.Write(event); err != nil {
			return err
		}
		return c.Flush()
	})
	if !begun {
		v.unavailable(w, r, err)
	}
}

// unavailable answers what could not be told. Who asks again gets it.
func (v *Revocations) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	e := &oauth.Error{Code: oauth.TemporarilyUnavailable, Description: "The revocation feed can't be served at the moment. Try again."}
	if !errors.Is(err, feed.ErrBusy) && !errors.Is(err, feed.ErrOver) && !errors.Is(err, context.Canceled) {
		e.Cause = err
	}
	v.fail(w, r, e)
}

// errFeedScope refuses a token that was not made for the feed.
var errFeedScope = oauth.Refuse(oauth.InsufficientScope, "the feed needs an access token with the scope %s", oauth.ScopeFeed)

// admit finds out who asks. may tells later on whether they still may.
func (v *Revocations) admit(w http.ResponseWriter, r *http.Request) (may func() bool, p web.Params, err error) {
	p, refusal := web.Query(r)
	if refusal != nil {
		return nil, p, refusal
	}
	if shown, ok := authorization(r.Header.Get("Authorization")); ok {
		may, err := v.byToken(w, r, shown)
		return may, p, err
	}
	res, ok := v.Clients.Resource(clientauth.Request{Header: r.Header}) // never by secrets in a URL
	if !ok {
		return nil, p, oauth.Refuse(oauth.InvalidClient, "the feed is for protected APIs, by their introspection secret, and for access tokens with the scope %s", oauth.ScopeFeed)
	}
	return func() bool {
		now, ok := v.Directory.Resource(res.ID)
		return ok && bytes.Equal(now.SecretHash, res.SecretHash)
	}, p, nil
}

func (v *Revocations) byToken(w http.ResponseWriter, r *http.Request, shown presented) (may func() bool, err error) {
	t, err := v.Reader.Access(shown.token, v.Store.Now())
	switch {
	case errors.Is(err, tokens.ErrInvalid):
		return nil, oauth.Refuse(oauth.InvalidToken, "the access token is not valid here, or not any more")
	case err != nil:
		return nil, err
	case !t.For(oauth.FeedResource(v.Issuer)) || !t.HasScope(oauth.ScopeFeed):
		return nil, errFeedScope
	}
	client, ok := v.Directory.Client(t.ClientID)
	if !ok {
		return nil, oauth.Refuse(oauth.InvalidToken, "the client of the access token is no longer registered here")
	}
	if err := v.holds(w, r, shown, t.Confirmation, client); err != nil {
		return nil, err
	}
	token := strings.Clone(shown.token)
	return func() bool {
		_, err := v.Reader.Access(token, v.Store.Now())
		return err == nil
	}, nil
}

// refuse answers who may not read, by RFC 6750 or RFC 6749 according to how they
// tried.
func (v *Revocations) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch e := oauth.AsError(err); e.Code {
	case oauth.InvalidToken, oauth.InsufficientScope, oauth.InvalidDPoPProof, oauth.UseDPoPNonce:
		v.challenge(w, r, e, oauth.ScopeFeed)
	default:
		v.failClient(w, r, e)
	}
}
