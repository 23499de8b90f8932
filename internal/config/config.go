// Package config reads jeton.yaml. Every key is checked before anything starts,
// and every problem names its file, line and column, or the environment variable
// that caused it, and says what to write instead.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"

	"github.com/jeton-auth/jeton/internal/secret"
	"github.com/jeton-auth/jeton/internal/spec"
)

// MaxSize bounds the file, and each file that a secret is read from.
const MaxSize = 1 << 20

// Config is the whole configuration, checked and with its defaults filled in.
// docs/config.md describes each key; a test holds the page and the yaml tags
// together.
type Config struct {
	Issuer           string       `yaml:"issuer"`
	Listen           string       `yaml:"listen"`
	TLS              *TLS         `yaml:"tls"`
	BehindProxy      *BehindProxy `yaml:"behind_proxy"`
	Store            string       `yaml:"store"`              // "sqlite:" and a path, or "postgres://" and where
	KeyEncryptionKey Key          `yaml:"key_encryption_key"` // 32 bytes
	// HighWater and RevocationJournal are files outside the store; empty: none.
	HighWater         string        `yaml:"high_water"`
	RevocationJournal string        `yaml:"revocation_journal"`
	Profile           spec.Profile  `yaml:"profile"`
	Outbound          Outbound      `yaml:"outbound"`
	Brand             Brand         `yaml:"brand"`
	Introspection     Introspection `yaml:"introspection"`
	DPoP              DPoP          `yaml:"dpop"`
	Sessions          Sessions      `yaml:"sessions"`
	Keys              Keys          `yaml:"keys"`
	Password          Password      `yaml:"password"`
	Log               Log           `yaml:"log"`
	Resources         []Resource    `yaml:"resources"`
	Clients           []Client      `yaml:"clients"`
	Users             []User        `yaml:"users"`

	// Files are the paths that were read: the configuration itself and what
	// file: names in it. A change of one is a change of the configuration.
	Files []string `yaml:"-"`
}

// TLS is a certificate chain and its key, both PEM.
type TLS struct {
	Cert []byte `yaml:"cert"`
	Key  Key    `yaml:"key"`
	// ClientCA are the PEM certificates of those who may sign a client's own; empty: the
	// system's.
	ClientCA []byte `yaml:"client_ca"`
	// ClientAuth says whether clients are asked for a certificate: ClientAuthRequest, or
	// empty.
	ClientAuth string `yaml:"client_auth"`
}

// ClientAuthRequest asks each TLS client for a certificate, and takes those without.
const ClientAuthRequest = "request"

// BehindProxy says that TLS ends at a proxy, and whose forwarded headers count.
type BehindProxy struct {
	Trusted []netip.Prefix `yaml:"trusted"`
	// ClientCertHeader is the header in which the proxy sends on a client's certificate, in
	// PEM, URL-encoded, or base64 of its DER (RFC 9440); empty: none.
	ClientCertHeader string `yaml:"client_cert_header"`
	// ClientCA are the PEM certificates of those who may sign a client's own; empty: the
	// proxy says so by sending on the certificate.
	ClientCA []byte `yaml:"client_ca"`
}

// Outbound says what the server may fetch besides public addresses.
type Outbound struct {
	Allow []netip.Prefix `yaml:"allow"`
	CA    []byte         `yaml:"ca"` // PEM; trusted besides the system's
}

// Brand is what pages show.
type Brand struct {
	Name string `yaml:"name"`
}

// Ways to answer an introspection where nodes share the store.
const (
	Confirmed = "confirmed" // by what the database says after the question came
	Bounded   = "bounded"   // by what it said a while ago
)

// Introspection says how sure an answer is that a token is active.
type Introspection struct {
	Mode   string        `yaml:"mode"`   // Confirmed or Bounded
	Within spec.Duration `yaml:"within"` // of Bounded: how old what is known may be
}

// DPoP says what DPoP proofs must have.
type DPoP struct {
	RequireNonce bool `yaml:"require_nonce"` // a nonce of this server
}

// Sessions bounds how long a browser stays logged in.
type Sessions struct {
	Idle     spec.Duration `yaml:"idle"`
	Absolute spec.Duration `yaml:"absolute"`
}

// Keys says when signing keys change: one signs for Rotate, is published
// PublishBefore it signs, and stays published RetireAfter it stopped signing.
type Keys struct {
	Rotate        spec.Duration `yaml:"rotate"`
	PublishBefore spec.Duration `yaml:"publish_before"`
	RetireAfter   spec.Duration `yaml:"retire_after"`
}

// Password has the parameters of argon2id, and how many hashes are made at once
// and how many may wait.
type Password struct {
	Memory      int `yaml:"memory"` // KiB
	Iterations  int `yaml:"iterations"`
	Parallelism int `yaml:"parallelism"`
	Concurrency int `yaml:"concurrency"`
	Queue       int `yaml:"queue"`
}

// Log says what is logged and how.
type Log struct {
	Format   string `yaml:"format"`   // "json" or "text"
	Level    string `yaml:"level"`    // "debug", "info", "warn" or "error"
	Requests bool   `yaml:"requests"` // a line for each request
}

// Resource is a declared resource.
type Resource struct {
	spec.Resource
	// IntrospectionSecret lets the API call /introspect under its id. It may
	// be empty.
	IntrospectionSecret secret.Text `yaml:"introspection_secret"`
}

// Client is a declared client.
type Client struct {
	spec.Client
	Secret secret.Text `yaml:"secret"` // empty for a public client
	// OldSecret is taken beside Secret, which replaces it; empty: none is.
	OldSecret secret.Text `yaml:"old_secret"`
}

// User is a person who is created if absent.
type User struct {
	Email         string         `yaml:"email"`
	EmailVerified bool           `yaml:"email_verified"`
	Username      string         `yaml:"username"` // the preferred_username claim
	Name          string         `yaml:"name"`
	Password      secret.Text    `yaml:"password"`
	Roles         []string       `yaml:"roles"`
	Groups        []string       `yaml:"groups"`
	Claims        map[string]any `yaml:"claims"` // string, bool, or for address a map[string]any
}

// SpecResources are the declared resources and those that every issuer has, as
// spec.Client.Validate takes them.
func (c *Config) SpecResources() spec.Resources {
	all := make(spec.Resources, len(c.Resources))
	for i, r := range c.Resources {
		all[i] = r.Resource
	}
	return append(all, spec.Builtin(c.Issuer)...)
}

// Key is key material. Like secret.Text it does not print.
type Key []byte

// Format writes a placeholder for every verb.
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, secret.Text("").String()) }

// MarshalText writes a placeholder, also into JSON.
func (Key) MarshalText() ([]byte, error) { return secret.Text("").MarshalText() }

// Load reads and checks the file at path. env looks an environment variable up,
// as os.LookupEnv does. The error is of type Problems and holds everything that
// is wrong.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, Problems{{File: path, Message: "cannot be read: " + reason(err)}}
	}
	return Parse(path, data, filepath.Dir(path), env)
}

// Parse is Load for a file that has been read. name stands in problems; relative
// paths in the file start at dir.
func Parse(name string, data []byte, dir string, env func(string) (string, bool)) (*Config, error) {
	return parse(name, data, dir, env, readFile)
}

func parse(name string, data []byte, dir string, env func(string) (string, bool), read func(string) ([]byte, error)) (*Config, error) {
	r := newReader(name, dir, env, read)
	var c Config
	if root := r.document(data); root != nil {
		r.override(root)
		r.value(root, reflect.ValueOf(&c).Elem(), "")
		c.fill()
		r.check(&c)
	}
	if len(r.problems) > 0 {
		return nil, r.problems.tidy(name, r.dropped)
	}
	c.Files = r.files
	return &c, nil
}

// readFile reads at most MaxSize bytes and refuses more.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(data) > MaxSize {
		err = errors.New("it is larger than 1 MiB")
	}
	return data, err
}

// reason is err without the path that the message names already.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
