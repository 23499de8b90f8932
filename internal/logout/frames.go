package logout

import (
	"net/url"
	"strings"

	"github.com/jeton-auth/jeton/internal/session"
	"github.com/jeton-auth/jeton/internal/store"
)

// frames are the addresses that the person's browser is to load, so that clients which
// took part in the session end theirs (OpenID Connect Front-Channel Logout §2).
func (l *Logouts) frames(r store.Reader, id []byte) ([]string, error) {
	parts, err := r.Participations(id)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, p := range parts {
		client, ok := l.Directory.Client(p.Client)
		if !ok || client.FrontchannelLogoutURI == "" {
			continue
		}
		separator := "?"
		if strings.Contains(client.FrontchannelLogoutURI, "?") {
			separator = "&"
		}
		all = append(all, client.FrontchannelLogoutURI+separator+url.Values{"iss": {l.Issuer}, "sid": {session.SID(p.Known)}}.Encode())
	}
	return all, nil
}
