package authorize

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/jeton-auth/jeton/internal/web"
	"github.com/jeton-auth/jeton/oauth"
)

// kind is how the value of a parameter stands in JSON (RFC 9101 §4).
type kind int

const (
	text    kind = iota // a string
	number              // a number, or a string of digits
	structs             // an object or array, as the JSON text that the parameter is
	several             // a string, or an array of strings where it may be repeated
	never               // refused
)

// inObject are the parameters that count in a request object. All else there is ignored,
// as unknown parameters are.
var inObject = map[string]kind{
	"response_type": text, "response_mode": text, "redirect_uri": text, "scope": text, "state": text, "nonce": text,
	"code_challenge": text, "code_challenge_method": text, "prompt": text, "display": text, "login_hint": text,
	"id_token_hint": text, "acr_values": text, "ui_locales": text, "claims_locales": text, "dpop_jkt": text,
	"max_age": number, "claims": structs, "authorization_details": structs, "resource": several,
	"registration": structs, "request": never, "request_uri": never,
}

// members takes the parameters out of the claims set of a request object, which was read
// strictly before.
func members(payload []byte) (web.Params, *oauth.Error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return web.Params{}, badObject("is not a JSON object")
	}
	values := url.Values{}
	for name, raw := range all {
		how, known := inObject[name]
		if !known {
			continue
		}
		if how == never {
			return web.Params{}, badObject("holds %s, which has no place in one", name)
		}
		v, ok := how.values(raw)
		if !ok {
			return web.Params{}, badObject("has a member %s of another type than that parameter has", name)
		}
		for _, s := range v {
			if strings.IndexByte(s, 0) >= 0 {
				return web.Params{}, badObject("has a NUL character in %s", name)
			}
		}
		values[name] = v
	}
	return web.NewParams(values), nil
}

// values are the parameter's values; ok is false where the JSON is not of that kind.
func (k kind) values(raw json.RawMessage) (v []string, ok bool) {
	switch k {
	case text:
		s, ok := str(raw)
		return []string{s}, ok
	case number:
		if s, ok := str(raw); ok {
			return []string{s}, true
		}
		_, err := strconv.ParseUint(string(raw), 10, 63)
		return []string{string(raw)}, err == nil
	case structs:
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil || raw[0] != '{' && raw[0] != '[' {
			return nil, false
		}
		return []string{b.String()}, true
	case several:
		if s, ok := str(raw); ok {
			return []string{s}, true
		}
		var elements []json.RawMessage
		if raw[0] != '[' || json.Unmarshal(raw, &elements) != nil {
			return nil, false
		}
		for _, e := range elements {
			s, ok := str(e)
			if !ok {
				return nil, false
			}
			v = append(v, s)
		}
		return v, true
	}
	return nil, false
}

func str(raw json.RawMessage) (s string, ok bool) {
	return s, len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil
}
