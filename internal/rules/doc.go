// Package rules holds the rules of this repository as tests: which package may
// import which, how long a file may be, what every package must say of itself. It
// has no code of its own. A rule that fails says in a sentence what to change.
package rules
