//go:build faults

package faults

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// The operations on one grant.
type kind int

const (
	redeeming kind = iota
	rotating
	ending
	introspecting
)

func (k kind) String() string { return [...]string{"redeem", "rotate", "revoke", "introspect"}[k] }

// input is what was asked: number is the refresh token's.
type input struct {
	kind
	grant  string
	number int64
}

// result is what was answered: next is the number that came back.
type result struct {
	outcome
	next   int64
	active bool
}

// state is what the model knows of a grant: its number, 0 while its code is unspent, and
// whether it has ended.
type state struct {
	number int64
	ended  bool
}

// model is the protocol of TOKENS §2 for one grant of a confidential client, without its
// clock: where time decides, both outcomes are right.
//
// A code is spent once, and its second use ends the grant, unless it is older than its
// minute. The current number rotates; the one before gives the same successor; older
// ones are refused, and end the grant once the grace is over. A number that no rotation
// gave out does not exist. What was revoked is never active again, and nothing else is
// inactive. An answer that was lost leaves open whether, and when, it was done.
var model = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byGrant := map[string][]porcupine.Operation{}
		for _, op := range history {
			g := op.Input.(input).grant
			byGrant[g] = append(byGrant[g], op)
		}
		var all [][]porcupine.Operation
		for _, ops := range byGrant {
			all = append(all, ops)
		}
		return all
	},
	Init: func() []any { return []any{state{}} },
	Step: func(before, in, out any) (after []any) {
		s, r := before.(state), out.(result)
		for _, can := range in.(input).from(s) {
			if r.outcome == unknown || r == can.result {
				after = append(after, can.state)
			}
		}
		if r.outcome == unknown {
			after = append(after, s) // it was not done
		}
		return after
	},
	DescribeOperation: func(in, out any) string {
		i, r := in.(input), out.(result)
		return fmt.Sprintf("%s %d: %d, %d, %v", i.kind, i.number, r.outcome, r.next, r.active)
	},
}).ToModel()

// possible is one answer and the state after it.
type possible struct {
	result
	state
}

// from is all that may come of an operation in a state.
func (i input) from(s state) []possible {
	over := state{s.number, true}
	no := result{outcome: refused}
	switch {
	case i.kind == introspecting:
		return []possible{{result{outcome: done, active: !s.ended}, s}}
	case i.kind == ending:
		return []possible{{result{outcome: done}, over}}
	case s.ended:
		return []possible{{no, s}}
	case i.kind == redeeming && s.number == 0:
		return []possible{{result{outcome: done, next: 1}, state{number: 1}}, {no, s}}
	case i.kind == redeeming:
		return []possible{{no, over}, {no, s}}
	case i.number == s.number:
		return []possible{{result{outcome: done, next: s.number + 1}, state{number: s.number + 1}}}
	case i.number == s.number-1:
		return []possible{{result{outcome: done, next: s.number}, s}}
	case i.number < s.number:
		return []possible{{no, s}, {no, over}}
	}
	return nil
}
