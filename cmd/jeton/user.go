package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/jeton-auth/jeton/internal/adminapi"
	"github.com/jeton-auth/jeton/internal/manage"
)

type userCommands struct {
	List     userList     `cmd:"" help:"List users."`
	Create   userCreate   `cmd:"" help:"Create a user."`
	Show     userShow     `cmd:"" help:"Show a user."`
	Password userPassword `cmd:"" help:"Set a user's password, read from standard input. Ends their sessions and tokens."`
	Disable  userDisable  `cmd:"" help:"Switch a user off, with every session and token."`
	Enable   userEnable   `cmd:"" help:"Switch a user on again. What they held before stays dead."`
	Delete   userDelete   `cmd:"" help:"Delete a user with all that they hold."`
}

type named struct {
	instance
	User string `arg:"" help:"E-mail address or subject."`
}

func (n *named) path(rest string) string { return "/users/" + url.PathEscape(n.User) + rest }

func (in *instance) showUsers(std *streams, v any, users ...adminapi.User) error {
	return in.show(std, v, func(w io.Writer) {
		fmt.Fprintln(w, "SUBJECT\tEMAIL\tNAME\tROLES\tSTATE")
		for _, u := range users {
			state := "active"
			if u.Disabled {
				state = "disabled"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", u.Subject, u.Email, u.Name, strings.Join(u.Roles, ","), state)
			if u.Password != "" {
				fmt.Fprintf(w, "\npassword (shown once): %s\n", u.Password)
			}
		}
	})
}

type userList struct {
	instance
	After string `placeholder:"SUBJECT" help:"Go on after this subject."`
	Limit int    `default:"100" help:"How many at most, up to 1000 (${default})."`
}

func (c *userList) Run(ctx context.Context, std *streams) error {
	var users []adminapi.User
	q := url.Values{"after": {c.After}, "limit": {fmt.Sprint(c.Limit)}}
	if err := c.call(ctx, std, http.MethodGet, "/users?"+q.Encode(), nil, &users); err != nil {
		return err
	}
	return c.showUsers(std, users, users...)
}

type userCreate struct {
	instance
	Email         string   `arg:"" help:"E-mail address: the name with which the user logs in."`
	Name          string   `help:"Full name."`
	EmailVerified bool     `help:"The address is known to be theirs."`
	Role          []string `help:"A role; may be repeated."`
	Group         []string `help:"A group; may be repeated."`
	PasswordStdin bool     `help:"Read the password from standard input; otherwise one is made and shown."`
}

func (c *userCreate) Run(ctx context.Context, std *streams) error {
	n := adminapi.NewUser{NewUser: manage.NewUser{
		Email: c.Email, EmailVerified: c.EmailVerified, Name: c.Name, Roles: c.Role, Groups: c.Group,
	}, GeneratePassword: !c.PasswordStdin}
	if c.PasswordStdin {
		var err error
		if n.Password, err = firstLine(std.in, "password"); err != nil {
			return err
		}
	}
	var u adminapi.User
	if err := c.call(ctx, std, http.MethodPost, "/users", n, &u); err != nil {
		return err
	}
	return c.showUsers(std, u, u)
}

// firstLine reads a secret of that name: everything up to the end of the line.
func firstLine(r io.Reader, what string) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, 16<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", fmt.Errorf("standard input holds no %s", what)
	}
	return line, nil
}

type userShow struct{ named }

func (c *userShow) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodGet, "", nil)
}

func (n *named) act(ctx context.Context, std *streams, method, rest string, body any) error {
	var u adminapi.User
	if err := n.call(ctx, std, method, n.path(rest), body, &u); err != nil {
		return err
	}
	return n.showUsers(std, u, u)
}

type userPassword struct{ named }

func (c *userPassword) Run(ctx context.Context, std *streams) error {
	text, err := firstLine(std.in, "password")
	if err != nil {
		return err
	}
	return c.act(ctx, std, http.MethodPost, "/password", map[string]string{"password": text})
}

type userDisable struct{ named }

func (c *userDisable) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodPost, "/disable", nil)
}

type userEnable struct{ named }

func (c *userEnable) Run(ctx context.Context, std *streams) error {
	return c.act(ctx, std, http.MethodPost, "/enable", nil)
}

type userDelete struct{ named }

func (c *userDelete) Run(ctx context.Context, std *streams) error {
	var gone struct{}
	if err := c.call(ctx, std, http.MethodDelete, c.path(""), nil, &gone); err != nil {
		return err
	}
	return c.show(std, gone, func(w io.Writer) { fmt.Fprintf(w, "deleted %s\n", c.User) })
}
