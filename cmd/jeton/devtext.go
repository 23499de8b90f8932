package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// print tells what runs where, whom to log in as, and what to try.
func (d *devDir) print(w io.Writer, took time.Duration) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	blank := func() { b.WriteByte('\n') }

	blank()
	line("Jeton for development. Everything runs on this machine and is kept in %s", d.path)
	blank()
	line("Issuer          %s", d.issuer())
	if d.apps {
		line("Demo API        %s", d.api())
		line("Demo web app    %s    begin here", d.web())
	}
	blank()
	line("Log in as       %s", demoUser)
	line("Password        %s", d.values[envPassword])
	blank()
	if d.apps {
		d.tour(line, blank)
	} else {
		line("Register a client of your own, from another terminal:")
		blank()
		line("jeton client create my-app --data %s --grant-type authorization_code --grant-type refresh_token \\", quoted(absolute(d.path)))
		line("  --redirect-uri http://localhost:3000/callback --scope openid --scope profile --scope email")
		blank()
	}
	line("ready in %d ms; Ctrl+C ends it", took.Milliseconds())
	io.WriteString(w, b.String()+"\n")
}

// tour prints the clients and curl lines to paste.
func (d *devDir) tour(line func(string, ...any), blank func()) {
	line("Demo clients    %-12s a web app with a secret: code + PKCE, refresh", demoWeb)
	line("                %-12s a program with a secret: client_credentials", demoRobot)
	line("                %-12s a command-line app without one: code + PKCE, any port of 127.0.0.1", demoCLI)
	line("                %-12s a TV without a keyboard: the device flow, at %s/tv", demoTV, d.web())
	line("Their secrets   %s, made on the first start", d.env())
	blank()
	line("A tour for another terminal:")
	blank()
	line(". %s", quoted(absolute(d.env())))
	blank()
	call := fmt.Sprintf(`curl -i %s/orders -H "Authorization: Bearer $TOKEN"`, d.api())
	ask := fmt.Sprintf(`curl %s/introspect -u "%s:$%s" -d "token=$TOKEN"; echo`, d.issuer(), url.QueryEscape(d.api()), apiSecret)
	for i, step := range []struct{ what, command string }{
		{"The robot gets a token", fmt.Sprintf(
			`TOKEN=$(curl -s %s/token -u "%s:$%s" \
    -d grant_type=client_credentials -d scope=orders:read | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  echo "$TOKEN"`,
			d.issuer(), demoRobot, robotSecret)},
		{"The API takes it", call},
		{"Whoever has the API's secret may ask the issuer: is it active?", ask},
		{"The robot revokes it", fmt.Sprintf(`curl -i %s/revoke -u "%s:$%s" -d "token=$TOKEN"`, d.issuer(), demoRobot, robotSecret)},
		{"It is active no more …", ask},
		{"… and the API, which follows the issuer's revocation feed, refuses it: 401", call},
	} {
		line("# %d. %s", i+1, step.what)
		line("%s", step.command)
		blank()
	}
}

// quoted is s as a shell reads it: as it is where nothing in it means anything.
func quoted(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-+:@%", c)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
