package feed

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Typ is the JOSE typ of a heartbeat, a compact JWS by the feed's own key.
const Typ = "jeton-feed+jwt"

// Bounds of a heartbeat's members.
const (
	maxIncarnation = 64
	maxFormer      = 64
	MaxNonce       = 128 // characters of a reader's nonce
	MaxHeartbeat   = 8 << 10
)

// Heartbeat says how far the log goes at a time. No node signs one without having
// read it from the database just then.
type Heartbeat struct {
	Issuer      string `json:"iss"`
	Incarnation string `json:"inc"`
	// Former are the incarnations before this one, the newest last: the database was
	// restored as often.
	Former []string `json:"was,omitempty"`
	N      int64    `json:"n"`
	Hash   Hash     `json:"hash"`
	// First is the number of the oldest entry that still names a living token, or
	// N+1: a snapshot that begins after it is cut.
	First int64 `json:"first"`
	// JWKS is the hash of the issuer's key set document, as JWKSHash makes it.
	JWKS  string `json:"jwks"`
	AsOf  int64  `json:"as_of"` // by the database's clock, in Unix milliseconds
	Nonce string `json:"nonce,omitempty"`
}

// Position is how far the log goes.
func (h Heartbeat) Position() Position { return Position{h.Incarnation, h.N, h.Hash} }

// Time is AsOf.
func (h Heartbeat) Time() time.Time { return time.UnixMilli(h.AsOf) }

// Follows tells whether h may come after an earlier heartbeat: the same log no
// shorter and no earlier, or a later incarnation that names the earlier one.
func (h Heartbeat) Follows(earlier Heartbeat) error {
	switch {
	case h.Incarnation != earlier.Incarnation:
		if !slices.Contains(h.Former, earlier.Incarnation) || slices.Contains(earlier.Former, h.Incarnation) {
			return fmt.Errorf("feed: incarnation %s does not say that it follows %s", h.Incarnation, earlier.Incarnation)
		}
	case h.N < earlier.N:
		return fmt.Errorf("feed: the log went back from %d to %d", earlier.N, h.N)
	case h.AsOf < earlier.AsOf:
		return errors.New("feed: a heartbeat is older than the one before it")
	case h.N == earlier.N && h.Hash != earlier.Hash:
		return fmt.Errorf("feed: there are two logs with the number %d", h.N)
	}
	return nil
}

// Payload is the JSON form.
func (h Heartbeat) Payload() ([]byte, error) { return json.Marshal(h) }

// ParseHeartbeat reads the payload of a heartbeat whose signature was checked, of
// an issuer.
func ParseHeartbeat(payload []byte, issuer string) (Heartbeat, error) {
	var h Heartbeat
	if err := json.Unmarshal(payload, &h); err != nil {
		return Heartbeat{}, fmt.Errorf("feed: not a heartbeat: %w", err)
	}
	switch {
	case h.Issuer != issuer:
		return Heartbeat{}, errors.New("feed: the heartbeat is of another issuer")
	case h.Incarnation == "" || len(h.Incarnation) > maxIncarnation || len(h.Former) > maxFormer,
		h.N < 0 || h.First < 1 || h.First > h.N+1 || h.AsOf <= 0:
		return Heartbeat{}, errors.New("feed: the heartbeat is malformed")
	}
	return h, nil
}

// JWKSHash is the SHA-256 of a key set document in base64url, by which a reader
// sees that the keys have changed.
func JWKSHash(doc []byte) string {
	sum := sha256.Sum256(doc)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// Head is the small signed document beside the segments: the heartbeat, and the
// entries that are in no full segment yet.
type Head struct {
	Heartbeat string          `json:"heartbeat"`
	Tail      json.RawMessage `json:"tail"` // a batch
}
