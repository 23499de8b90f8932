package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// AuthorizationDetail is one object of authorization_details (RFC 9396 §2). Whatever else
// its type has stands in Raw alone.
type AuthorizationDetail struct {
	Type string
	// The fields that every type may have (§2.2).
	Locations  []string
	Actions    []string
	DataTypes  []string
	Privileges []string
	Identifier string

	Raw json.RawMessage // the object as it was sent, without white space
}

// lists are the common fields that hold arrays, by their names.
func (d *AuthorizationDetail) lists() map[string]*[]string {
	return map[string]*[]string{"locations": &d.Locations, "actions": &d.Actions, "datatypes": &d.DataTypes, "privileges": &d.Privileges}
}

// MarshalJSON writes the object as it was sent.
func (d AuthorizationDetail) MarshalJSON() ([]byte, error) { return d.Raw, nil }

// UnmarshalJSON reads an object that has a type, and the common fields in the form that
// the standard gives them. The error says what is wrong, for the client's developer.
func (d *AuthorizationDetail) UnmarshalJSON(b []byte) error {
	members, err := d.members(b)
	if err != nil {
		return err
	}
	var raw bytes.Buffer
	if err := json.Compact(&raw, b); err != nil {
		return err
	}
	next := AuthorizationDetail{Raw: raw.Bytes()}
	if v, ok := members["type"]; !ok || v[0] != '"' || json.Unmarshal(v, &next.Type) != nil || next.Type == "" {
		return errors.New("an object has no type, or one that is not a string")
	}
	if v, ok := members["identifier"]; ok && (v[0] != '"' || json.Unmarshal(v, &next.Identifier) != nil) {
		return errors.New("an identifier is not a string")
	}
	for name, into := range next.lists() {
		v, ok := members[name]
		if !ok {
			continue
		}
		var all []any
		if v[0] != '[' || json.Unmarshal(v, &all) != nil {
			return fmt.Errorf("%s is not an array of strings", name)
		}
		for _, one := range all {
			s, ok := one.(string)
			if !ok {
				return fmt.Errorf("%s is not an array of strings", name)
			}
			*into = append(*into, s)
		}
	}
	*d = next
	return nil
}

func (*AuthorizationDetail) members(b []byte) (members map[string]json.RawMessage, err error) {
	if err := json.Unmarshal(b, &members); err != nil || members == nil {
		return nil, errors.New("it holds something that is not an object")
	}
	return members, nil
}

// Others are the members that are not common to all types, each with its JSON.
func (d AuthorizationDetail) Others() map[string]json.RawMessage {
	members, err := d.members(d.Raw)
	if err != nil {
		return nil
	}
	delete(members, "type")
	delete(members, "identifier")
	for name := range d.lists() {
		delete(members, name)
	}
	return members
}

// Within tells whether d asks for no more than what was granted: the same in all but the
// common arrays, of which it may name fewer values (RFC 9396 §6).
func (d AuthorizationDetail) Within(granted AuthorizationDetail) bool {
	if d.Type != granted.Type || d.Identifier != granted.Identifier {
		return false
	}
	had := granted.lists()
	for name, asked := range d.lists() {
		if (len(*asked) == 0) != (len(*had[name]) == 0) {
			return false
		}
		for _, s := range *asked {
			if !slices.Contains(*had[name], s) {
				return false
			}
		}
	}
	others, hadOthers := d.Others(), granted.Others()
	if len(others) != len(hadOthers) {
		return false
	}
	for name, v := range others {
		if !sameJSON(v, hadOthers[name]) {
			return false
		}
	}
	return true
}

// sameJSON compares what two texts mean. Numbers are the same if they are written alike.
func sameJSON(a, b json.RawMessage) bool {
	canonical := func(raw json.RawMessage) []byte {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			return nil
		}
		out, err := json.Marshal(v)
		if err != nil {
			return nil
		}
		return out
	}
	x, y := canonical(a), canonical(b)
	return x != nil && bytes.Equal(x, y)
}
