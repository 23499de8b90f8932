package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what is reported into testdata/bad/*.txtar")

// environment is what every script may refer to.
var environment = map[string]string{
	"KEK":      "q83vASNFZ4mrze8BI0VniZq8eFY0Eg3+7cuph2VDIQA=",
	"SECRET":   "0x5nQz2v8Kq1rT7yWb4mJc9sLd3fGh6p",
	"PASSWORD": "correct horse battery staple",
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

// pemFiles are made at each run, so that no private key lies in the repository.
var pemFiles = sync.OnceValue(func() map[string][]byte {
	files := map[string][]byte{}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"id.example.com"}}
	for _, name := range []string{"key.pem", "other.pem"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			panic(err)
		}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		files[name] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
		if name == "key.pem" {
			files["cert.pem"] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
		}
	}
	return files
})

// runScript loads the jeton.yaml of a script, with its other files beside it, and
// gives the problems. An env holds lines NAME=value. cert.pem with key.pem, and
// other.pem, the key of another certificate, are always there.
func runScript(t *testing.T, a *txtar.Archive) (*Config, string) {
	t.Helper()
	dir := t.TempDir()
	env := maps.Clone(environment)
	for name, data := range pemFiles() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range a.Files {
		switch f.Name {
		case "want":
		case "env":
			for line := range strings.Lines(string(f.Data)) {
				name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
				env[name] = value
			}
		default:
			if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := Load(filepath.Join(dir, "jeton.yaml"), lookup(env))
	if err == nil {
		return c, ""
	}
	if _, ok := errors.AsType[Problems](err); !ok || c != nil {
		t.Fatalf("want Problems and no configuration, got %T", err)
	}
	return nil, strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), "") + "\n"
}

// TestBad has a script for every way to write a key wrong. The problems of a
// script are exactly those it wants.
func TestBad(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatal("no scripts", err)
	}
	var all strings.Builder
	for _, name := range scripts {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, got := runScript(t, a)
		if last := &a.Files[len(a.Files)-1]; *update {
			last.Data = []byte(got)
			if err := os.WriteFile(name, txtar.Format(a), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if diff := cmp.Diff(string(last.Data), got); diff != "" || last.Name != "want" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, s := range environment {
			if strings.Contains(got, s) {
				t.Errorf("%s: the problems repeat a secret", name)
			}
		}
		all.WriteString(got)
	}
	everyKeyIsRefusedOnce(t, all.String())
}

// everyKeyIsRefusedOnce asks for a script for each key of the configuration.
func everyKeyIsRefusedOnce(t *testing.T, problems string) {
	problems = regexp.MustCompile(`\[\d+\]`).ReplaceAllString(problems, "[]")
	for key, typ := range allKeys(reflect.TypeFor[Config](), "") {
		if !strings.Contains(problems, " "+key+":") && !strings.Contains(problems, " "+key+"[]:") {
			t.Errorf("no script in testdata/bad has a bad %s (%s)", key, typ)
		}
	}
}
