package verifygrpc

import (
	"strings"

	"github.com/jeton-auth/jeton/verify"
)

// Rule is what a method asks of its callers. The zero Rule refuses everybody, so that
// a method that was forgotten is closed.
type Rule struct {
	open, token bool
	needs       []verify.Requirement
}

// Token asks for a valid token that meets the requirements.
func Token(needs ...verify.Requirement) Rule { return Rule{token: true, needs: needs} }

// Open lets everybody in. A token is not looked at.
func Open() Rule { return Rule{open: true} }

// Rules tells the rule of a method by its full name, such as /shop.Orders/List.
type Rules func(method string) Rule

// Methods are rules by the full name of the method, or by the service and an
// asterisk, as in /shop.Orders/*, for those of its methods that are not named.
type Methods map[string]Rule

// Rule is a Rules.
func (m Methods) Rule(method string) Rule {
	if r, ok := m[method]; ok {
		return r
	}
	return m[method[:strings.LastIndexByte(method, '/')+1]+"*"]
}
