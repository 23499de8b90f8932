package e2e

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	_ "modernc.org/sqlite"
)

// A ledger is a server that keeps each request in a database and answers when it is
// committed. The durability test looks at one with synchronous=NORMAL, to know that it
// would notice.
const (
	ledgerVariable      = "JETON_E2E_LEDGER" // the database's path
	synchronousVariable = "JETON_E2E_SYNCHRONOUS"
)

// serveLedger serves until the process is killed. It prints its address.
func serveLedger(path string) error {
	q := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(" + os.Getenv(synchronousVariable) + ")"}}
	db, err := sql.Open("sqlite", "file:"+path+"?"+q.Encode())
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE ledger (entry TEXT)"); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	return errors.Join(http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			return
		}
		if _, err := db.Exec("INSERT INTO ledger VALUES (?)", r.URL.Path); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})), db.Close())
}
