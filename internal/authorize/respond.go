package authorize

import (
	"github.com/jeton-auth/jeton/internal/spec"
	"github.com/jeton-auth/jeton/oauth"
)

// Response is an answer as the browser carries it to the client: a redirect to Location or,
// where that is empty, a form that posts Fields to Action (OAuth 2.0 Form Post Response
// Mode §2), whose origin is Origin.
type Response struct {
	Location       string
	Action, Origin string
	Fields         map[string]string
	// Device tells that the answer waits for a device, and Refused what it will say.
	Device, Refused bool
}

// responseParameter holds a response that is a JWT (JARM §2.3).
const responseParameter = "response"

// Response gives an answer its form. Where that is a JWT, all parameters are in it and none
// stands beside it.
func (f *Flows) Response(a Answer) (Response, error) {
	v, to := a.params, a.to
	if to.device {
		return Response{Device: true, Refused: v.Has("error")}, nil
	}
	if signed(to.mode) {
		jwt, err := f.Minter.Response(f.Store.Now(), to.client.ID, to.client.ResponseAlgorithm(), v)
		if err != nil {
			return Response{}, err
		}
		v = map[string][]string{responseParameter: {jwt}}
	}
	if to.mode != oauth.ModeFormPost && to.mode != oauth.ModeFormPostJWT {
		return Response{Location: to.location(v)}, nil
	}
	fields := make(map[string]string, len(v))
	for name := range v {
		fields[name] = v.Get(name)
	}
	return Response{Action: to.uri, Origin: spec.RedirectOrigin(to.uri), Fields: fields}, nil
}
