// Command jeton is a token authority: it logs people and programs in, issues tokens,
// and makes a revoked token stop working everywhere.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// version is set by the release build.
var version = "dev"

// commands is the whole command line.
type commands struct {
	Dev        devCommand        `cmd:"" help:"Start an issuer with a demo API and a demo web app on this machine."`
	Serve      serveCommand      `cmd:"" help:"Run the server."`
	Check      checkCommand      `cmd:"" help:"Validate a configuration file without starting."`
	Migrate    migrateCommand    `cmd:"" help:"Bring the database's schema up to this release's, as serve does when it starts."`
	Keygen     keygenCommand     `cmd:"" help:"Make a key-encryption key, or a client secret."`
	User       userCommands      `cmd:"" help:"Manage users."`
	Client     clientCommands    `cmd:"" help:"Manage clients."`
	Resource   resourceCommands  `cmd:"" help:"Manage resources: the protected APIs."`
	Key        keyCommands       `cmd:"" help:"Look after the signing keys."`
	Logout     logoutCommands    `cmd:"" help:"See which clients could not be told of a logout."`
	Revoke     revokeCommand     `cmd:"" help:"Revoke a token, or all that something stands for."`
	Copy       copyCommand       `cmd:"" help:"Copy an issuer from one store to another, such as from SQLite to PostgreSQL."`
	Backup     backupCommand     `cmd:"" help:"Write a sealed backup, while the server runs."`
	Restore    restoreCommand    `cmd:"" help:"Fill an empty store from a backup. All that was issued before is dead."`
	Recover    recoverCommand    `cmd:"" help:"Make a store that went back in time fit to be served again. All that was issued before is dead."`
	Completion completionCommand `cmd:"" help:"Print a completion script for a shell."`
	Version    versionCommand    `cmd:"" help:"Print the version."`
}

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run runs one command line and returns the exit code: 2 for a command line that is
// wrong, 1 for a command that failed.
func run(ctx context.Context, args []string, std streams) int {
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("jeton"), kong.UsageOnError(),
		kong.Description("A token authority: it logs people and programs in, issues tokens, and revokes them everywhere."),
		kong.Writers(std.out, std.err), kong.Exit(func(code int) {
			exit = code
			panic(exited{})
		}))
	if err != nil {
		fmt.Fprintln(std.err, "jeton:", err)
		return 1
	}
	command, err := parse(parser, args)
	switch {
	case exit >= 0:
		return exit
	case err != nil:
		fmt.Fprintf(std.err, "jeton: %v\nTry: jeton --help\n", err)
		return 2
	}
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(&std, parser); err != nil {
		var silent *exitError
		if errors.As(err, &silent) {
			return silent.code
		}
		fmt.Fprintln(std.err, "jeton:", err)
		return 1
	}
	return 0
}

// exited unwinds kong's parser after it printed help: it would go on otherwise.
type exited struct{}

func parse(parser *kong.Kong, args []string) (c *kong.Context, err error) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(exited); !ok {
				panic(p)
			}
		}
	}()
	return parser.Parse(args)
}

// exitError ends with a code when all has been said already.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

type versionCommand struct{}

func (versionCommand) Run(std *streams) error {
	_, err := fmt.Fprintln(std.out, "jeton", buildVersion())
	return err
}
