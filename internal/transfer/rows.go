package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"

	"github.com/jeton-auth/jeton/internal/store"
)

// appendRow writes a row: for each column the letter of its kind, and its value, a
// number in eight octets, all else after its length. It is the same on every engine.
func appendRow(dst []byte, t []store.Column, r store.Row) []byte {
	for i, c := range t {
		dst = append(dst, byte(c.Kind))
		switch v := r[i].(type) {
		case int64:
			dst = binary.BigEndian.AppendUint64(dst, uint64(v))
		case string:
			dst = append(binary.AppendUvarint(dst, uint64(len(v))), v...)
		case []byte:
			dst = append(binary.AppendUvarint(dst, uint64(len(v))), v...)
		}
	}
	return dst
}

var errRow = errors.New("a row is not written as its table is")

// parseRow reads what appendRow writes.
func parseRow(b []byte, t []store.Column) (store.Row, error) {
	r := make(store.Row, len(t))
	for i, c := range t {
		if len(b) == 0 || b[0] != byte(c.Kind) {
			return nil, errRow
		}
		b = b[1:]
		if c.Kind == store.Integer {
			if len(b) < 8 {
				return nil, errRow
			}
			r[i], b = int64(binary.BigEndian.Uint64(b)), b[8:]
			continue
		}
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return nil, errRow
		}
		value := b[used : used+int(n)]
		b = b[used+int(n):]
		if c.Kind == store.Text {
			r[i] = string(value)
		} else {
			r[i] = append([]byte{}, value...)
		}
	}
	if len(b) > 0 {
		return nil, errRow
	}
	return r, nil
}

// Tally is how many rows a table has, and a hash over all of them.
type Tally struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
	Hash  string `json:"hash"`
}

// sum adds the hashes of rows up, as numbers modulo 2^256, so that their order does
// not matter: engines sort texts differently.
type sum struct {
	table string
	rows  int64
	total [4]uint64
	buf   []byte
}

func (s *sum) add(columns []store.Column, r store.Row) {
	s.buf = append(append(s.buf[:0], s.table...), 0)
	s.buf = appendRow(s.buf, columns, r)
	h := sha256.Sum256(s.buf)
	s.rows++
	carry := uint64(0)
	for i := 3; i >= 0; i-- {
		s.total[i], carry = bits.Add64(s.total[i], binary.BigEndian.Uint64(h[8*i:]), carry)
	}
}

func (s *sum) tally() Tally {
	var b []byte
	for _, part := range s.total {
		b = binary.BigEndian.AppendUint64(b, part)
	}
	return Tally{s.table, s.rows, hex.EncodeToString(b)}
}

// each calls f with the rows of a table, page by page, in the order of its key.
func each(r store.Reader, t store.Table, after store.Row, f func([]store.Row) error) error {
	for {
		rows, err := r.Rows(t, after, batch)
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		if len(rows) > 0 {
			if err := f(rows); err != nil {
				return err
			}
			after = t.KeyOf(rows[len(rows)-1])
		}
		if len(rows) < batch {
			return nil
		}
	}
}

// tallies counts and hashes tables.
func tallies(r store.Reader, tables []store.Table, progress Progress) ([]Tally, error) {
	all := make([]Tally, len(tables))
	for i, t := range tables {
		s := sum{table: t.Name}
		err := each(r, t, nil, func(rows []store.Row) error {
			for _, row := range rows {
				s.add(t.Columns, row)
			}
			progress.tell(t.Name, s.rows)
			return nil
		})
		if err != nil {
			return nil, err
		}
		all[i] = s.tally()
	}
	return all, nil
}
