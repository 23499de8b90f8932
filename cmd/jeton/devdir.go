package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jeton-auth/jeton/internal/config"
	"github.com/jeton-auth/jeton/internal/keys"
	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/oauth"
)

// The person and the clients of the demo.
const (
	demoUser  = "ada@example.com"
	demoWeb   = "demo-web"
	demoRobot = "demo-robot"
	demoCLI   = "demo-cli"
	demoTV    = "demo-tv"
)

// Names in demo.env.
const (
	envPort     = "DEMO_PORT"
	envApps     = "DEMO_APPS" // on or off
	envUser     = "DEMO_USER"
	envPassword = "DEMO_PASSWORD"
	robotSecret = "DEMO_ROBOT_SECRET"
	webSecret   = "DEMO_WEB_SECRET"
	apiSecret   = "DEMO_API_SECRET"
)

// devDir is the directory of jeton dev: the database, the key-encryption key, and
// demo.env with the secrets and what the last start was told.
type devDir struct {
	path   string
	port   int
	apps   bool
	values map[string]string
}

func (d *devDir) env() string { return filepath.Join(d.path, "demo.env") }
func (d *devDir) kek() string { return filepath.Join(d.path, "kek") }

func (d *devDir) issuer() string { return d.address(0) }
func (d *devDir) api() string    { return d.address(1) }
func (d *devDir) web() string    { return d.address(2) }

func (d *devDir) address(n int) string { return fmt.Sprintf("http://localhost:%d", d.port+n) }

func (d *devDir) secret(name string) secret.Text { return secret.Text(d.values[name]) }

// devConfig is the configuration of the issuer that jeton dev keeps in dir, for the
// commands that look after it. Its port is the one that it was last started with;
// port counts where none is noted.
func devConfig(dir string, port int) (*config.Config, error) {
	d := &devDir{path: dir, port: port, apps: true}
	if err := d.read(); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no issuer of jeton dev: start one with jeton dev --data %[1]s", dir)
	} else if err != nil {
		return nil, err
	}
	if n, err := strconv.Atoi(d.values[envPort]); err == nil && n > 0 {
		d.port = n
	}
	d.apps = d.values[envApps] != "off"
	return d.config()
}

// openDevDir makes what is missing in dir: on the first start, everything. Secrets
// are random and made once.
func openDevDir(dir string, port int, apps bool) (*devDir, error) {
	d := &devDir{path: dir, port: port, apps: apps}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := d.read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !exists(d.kek()) {
		if db := filepath.Join(dir, "jeton.db"); exists(db) {
			return nil, fmt.Errorf("%s is missing, and %s can't be opened without it: put it back, or start anew in another directory with --data", d.kek(), db)
		}
		if err := writeFile(d.kek(), []byte(keys.NewKEK()+"\n")); err != nil {
			return nil, err
		}
	}
	// Directories like this one tend to lie in a repository.
	if ignore := filepath.Join(dir, ".gitignore"); !exists(ignore) {
		if err := writeFile(ignore, []byte("*\n")); err != nil {
			return nil, err
		}
	}
	missing := false
	for name, made := range map[string]func() string{
		envPassword: newPassword, robotSecret: newSecret, webSecret: newSecret, apiSecret: newSecret,
	} {
		if d.values[name] == "" {
			d.values[name], missing = made(), true
		}
	}
	if missing {
		return d, d.write()
	}
	return d, nil
}

// note keeps what this start was told, for the commands that come later.
func (d *devDir) note() error {
	apps := "on"
	if !d.apps {
		apps = "off"
	}
	port := strconv.Itoa(d.port)
	if d.values[envPort] == port && d.values[envApps] == apps {
		return nil
	}
	d.values[envPort], d.values[envApps] = port, apps
	return d.write()
}

// read reads demo.env.
func (d *devDir) read() error {
	d.values = map[string]string{}
	data, err := os.ReadFile(d.env())
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if ok && !strings.HasPrefix(name, "#") {
			d.values[name] = strings.Trim(value, `"'`)
		}
	}
	return lines.Err()
}

// write replaces demo.env. Its values hold nothing that a shell would read otherwise.
func (d *devDir) write() error {
	var b bytes.Buffer
	b.WriteString("# Made by jeton dev when it first started here: nobody else has these.\n# A shell can read this file with its dot command.\n")
	d.values[envUser] = demoUser
	for _, name := range []string{envPort, envApps, envUser, envPassword, robotSecret, webSecret, apiSecret} {
		if d.values[name] != "" {
			fmt.Fprintf(&b, "%s=%s\n", name, d.values[name])
		}
	}
	return writeFile(d.env(), b.Bytes())
}

// writeFile replaces a file as a whole, for its owner alone.
func writeFile(path string, data []byte) error {
	next, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = next.Write(data)
	err = errors.Join(err, next.Sync(), next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		os.Remove(next.Name())
	}
	return err
}

func newSecret() string { return secret.Random().Reveal() }

// newPassword is a password that can be typed from one screen into another: 64
// random bits as four words of five letters.
func newPassword() string {
	const consonants, vowels = "bdfghjklmnprstvz", "aeio"
	var b strings.Builder
	for i, r := range secret.Bytes(20) {
		switch {
		case i > 0 && i%5 == 0:
			b.WriteByte('-')
			fallthrough
		case i%5%2 == 0:
			b.WriteByte(consonants[r%16])
		default:
			b.WriteByte(vowels[r%4])
		}
	}
	return b.String()
}

// config is the issuer's configuration, checked as a file would be. The process's
// environment has no say in it.
func (d *devDir) config() (*config.Config, error) {
	var b strings.Builder
	fmt.Fprintf(&b, `issuer: %s
listen: 127.0.0.1:%d
store: sqlite:jeton.db
key_encryption_key: file:kek
log: {format: text, level: warn}
users:
  - {email: %s, email_verified: true, name: Ada Lovelace, password: env:%s, roles: [admin]}
`, d.issuer(), d.port, demoUser, envPassword)
	if d.apps {
		fmt.Fprintf(&b, `resources:
  - id: %[1]s
    name: Demo orders API
    scopes: [orders:read, orders:write]
    access_token: {format: jwt, lifetime: 5m, alg: ES256}
    introspection_secret: env:%[3]s
clients:
  - id: %[4]s
    name: Demo web app
    auth_method: client_secret_basic
    secret: env:%[5]s
    redirect_uris: [%[2]s/callback]
    post_logout_redirect_uris: [%[2]s/]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, email, offline_access, orders:read, orders:write]
    resources: [%[1]s]
  - id: %[6]s
    name: Demo robot
    auth_method: client_secret_basic
    secret: env:%[7]s
    grant_types: [client_credentials]
    scopes: [orders:read]
    resources: [%[1]s]
  - id: %[8]s
    name: Demo command line
    auth_method: none
    redirect_uris: [http://127.0.0.1/callback]
    grant_types: [authorization_code, refresh_token]
    scopes: [openid, profile, email, offline_access, orders:read, orders:write]
    resources: [%[1]s]
  - id: %[9]s
    name: Demo TV
    auth_method: none
    grant_types: [%[10]s]
    scopes: [openid, profile, email, orders:read]
    resources: [%[1]s]
`, d.api(), d.web(), apiSecret, demoWeb, webSecret, demoRobot, robotSecret, demoCLI, demoTV, oauth.DeviceCode)
	}
	return config.Parse(d.env(), []byte(b.String()), d.path, func(name string) (string, bool) {
		v, ok := d.values[name]
		return v, ok
	})
}
