package postgres

// Unhurried is the statement by which a transaction may take as long as it needs, as a
// migration of large tables does. It still waits no longer for a lock than any other:
// all who come after it would wait too. It is tried again.
func (*Engine) Unhurried() string { return "SET LOCAL statement_timeout = 0" }
