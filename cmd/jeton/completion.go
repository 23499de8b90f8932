package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a script that completes commands and flags; they are written out from
// the command line's own description, so the script needs no call back.
func (c *completionCommand) Run(std *streams, k *kong.Kong) error {
	words := map[string][]string{}
	collect(words, "jeton", k.Model.Node)
	var b strings.Builder
	switch c.Shell {
	case "bash", "zsh": // where path is another name of PATH
		if c.Shell == "zsh" {
			b.WriteString("#compdef jeton\nautoload -U +X bashcompinit && bashcompinit\n")
		}
		b.WriteString("_jeton() {\n  local at=jeton word\n  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case \"$at $word\" in\n")
		for _, path := range slices.Sorted(maps.Keys(words)) {
			if path != "jeton" {
				fmt.Fprintf(&b, "      %q) at=%q ;;\n", path, path)
			}
		}
		b.WriteString("    esac\n  done\n  case \"$at\" in\n")
		for _, path := range slices.Sorted(maps.Keys(words)) {
			list := words[path]
			fmt.Fprintf(&b, "    %q) COMPREPLY=($(compgen -W %q -- \"${COMP_WORDS[COMP_CWORD]}\")) ;;\n", path, strings.Join(list, " "))
		}
		b.WriteString("  esac\n}\ncomplete -o default -F _jeton jeton\n")
	case "fish":
		for _, path := range slices.Sorted(maps.Keys(words)) {
			list := words[path]
			parents := strings.Fields(path)[1:]
			condition := "__fish_use_subcommand"
			if len(parents) > 0 {
				condition = "__fish_seen_subcommand_from " + parents[len(parents)-1]
			}
			fmt.Fprintf(&b, "complete -c jeton -n %q -a %q\n", condition, strings.Join(list, " "))
		}
	}
	_, err := fmt.Fprint(std.out, b.String())
	return err
}

func collect(words map[string][]string, path string, n *kong.Node) {
	var list []string
	for _, child := range n.Children {
		list = append(list, child.Name)
		collect(words, path+" "+child.Name, child)
	}
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			list = append(list, "--"+f.Name)
		}
	}
	words[path] = list
}
