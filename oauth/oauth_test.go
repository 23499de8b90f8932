package oauth_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jeton-auth/jeton/oauth"
)

func TestParseScope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want []string
		ok   bool
	}{
		{"", nil, true},
		{"openid", []string{"openid"}, true},
		{"  a  b a ", []string{"a", "b"}, true},
		{"a\tb", nil, false},
		{"a\nb", nil, false},
		{`a"b`, nil, false},
		{`a\b`, nil, false},
		{"é", nil, false},
	} {
		got, ok := oauth.ParseScope(c.in)
		if ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("ParseScope(%q) = %q, %t", c.in, got, ok)
		}
	}
}

func TestAsError(t *testing.T) {
	t.Parallel()
	refusal := oauth.Refuse(oauth.InvalidGrant, "because of %s", "that")
	if got := oauth.AsError(fmt.Errorf("wrapped: %w", refusal)); got != refusal {
		t.Errorf("a refusal did not stay what it is: %v", got)
	}
	cause := errors.New("disk on fire")
	got := oauth.AsError(cause)
	if got.Code != oauth.ServerError || got.Code.Status() != 500 || !errors.Is(got, cause) {
		t.Errorf("an unknown error became %v", got)
	}
	if got.Description == "" || got.Description == cause.Error() {
		t.Errorf("description %q leaks the cause or says nothing", got.Description)
	}
	for code, status := range map[oauth.ErrorCode]int{
		oauth.InvalidClient: 401, oauth.InvalidToken: 401, oauth.InsufficientScope: 403, oauth.TemporarilyUnavailable: 503, oauth.InvalidGrant: 400,
	} {
		if code.Status() != status {
			t.Errorf("%s answers %d, want %d", code, code.Status(), status)
		}
	}
}

func TestParseResponseType(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]oauth.ResponseType{
		"code": oauth.ResponseCode, "token  id_token code": oauth.ResponseCodeIDTokenToken, "id_token code": oauth.ResponseCodeIDToken,
		"code code": "code code", "": "", "Code": "Code",
	} {
		if got := oauth.ParseResponseType(raw); got != want {
			t.Errorf("%q is %q, want %q", raw, got, want)
		}
	}
}
