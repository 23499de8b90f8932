package transfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jeton-auth/jeton/internal/audit"
	"github.com/jeton-auth/jeton/internal/store"
)

// format is the version of records.
const format = 1

// Header says what records are of.
type Header struct {
	Format      int       `json:"format"`
	Issuer      string    `json:"issuer"`
	Incarnation string    `json:"incarnation"`
	Head        int64     `json:"head"` // number of the newest revocation
	At          time.Time `json:"at"`   // by the database's clock
}

// The records, each a letter, its length in four octets, and its text: a header, then
// for each table its description, its rows and its tally, then the end.
const (
	recHeader = 'H'
	recTable  = 'T'
	recRow    = 'R'
	recTally  = 'E'
	recEnd    = 'Z'

	maxRecord = 64 << 20
)

// tableRecord describes a table.
type tableRecord struct {
	Name    string         `json:"name"`
	Columns []columnRecord `json:"columns"`
	Key     []string       `json:"key"`
}

type columnRecord struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// WriteRecords writes an issuer as it is at one moment, while servers run. What was
// written is whole when it returns nil.
func WriteRecords(ctx context.Context, st *store.Store, issuer string, log *slog.Logger, to io.Writer) error {
	w := recordWriter{w: bufio.NewWriterSize(to, 256<<10)}
	err := st.Snapshot(ctx, func(r store.Reader) error {
		i, err := r.Issuer()
		if errors.Is(err, store.ErrNotFound) {
			return refuse("there is no issuer in this database yet")
		}
		if err != nil {
			return err
		}
		for _, what := range []func() error{
			func() error { holds, err := r.Holds(); return errors.Join(err, holdError(unfit(holds))) },
			func() error {
				return w.json(recHeader, Header{format, issuer, i.Incarnation, i.Head, st.Now().UTC()})
			},
			func() error { return w.tables(r) },
		} {
			if err := what(); err != nil {
				return err
			}
		}
		return w.put(recEnd, nil)
	})
	if err != nil {
		return err
	}
	if err := w.w.Flush(); err != nil {
		return err
	}
	return audit.New(st, log).Write(ctx, func(*store.Tx) (audit.Event, error) {
		return audit.Event{Type: audit.BackedUp, Origin: operator()}, nil
	})
}

// unfit are the holds of a database that is not whole. One that went back in time is:
// a restore ends what that one may have brought back.
func unfit(holds []store.Hold) (some []store.Hold) {
	for _, h := range holds {
		if h.Name != store.HoldRecover {
			some = append(some, h)
		}
	}
	return some
}

type recordWriter struct {
	w   *bufio.Writer
	buf []byte
}

func (w *recordWriter) put(kind byte, text []byte) error {
	if len(text) > maxRecord {
		return fmt.Errorf("a row has %d bytes, more than fit", len(text))
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(text)))
	if _, err := w.w.Write(head); err != nil {
		return err
	}
	_, err := w.w.Write(text)
	return err
}

func (w *recordWriter) json(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.put(kind, text)
}

func (w *recordWriter) tables(r store.Reader) error {
	tables, err := r.Tables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		d := tableRecord{Name: t.Name, Key: t.Key}
		for _, c := range t.Columns {
			d.Columns = append(d.Columns, columnRecord{c.Name, string(c.Kind)})
		}
		if err := w.json(recTable, d); err != nil {
			return err
		}
		s := sum{table: t.Name}
		err := each(r, t, nil, func(rows []store.Row) error {
			for _, row := range rows {
				s.add(t.Columns, row)
				w.buf = appendRow(w.buf[:0], t.Columns, row)
				if err := w.put(recRow, w.buf); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := w.json(recTally, s.tally()); err != nil {
			return err
		}
	}
	return nil
}

// ErrRecords says that records are not as they were written, or end too early.
var ErrRecords = errors.New("the records are not whole")

// Records are read, from a backup or a running server.
type Records struct {
	Header Header

	r     *bufio.Reader
	first []byte // the header as it was read
	buf   []byte
}

// ReadRecords reads the header of records.
func ReadRecords(r io.Reader) (*Records, error) {
	s := &Records{r: bufio.NewReaderSize(r, 256<<10)}
	kind, text, err := s.next()
	if err != nil {
		return nil, err
	}
	if kind != recHeader || json.Unmarshal(text, &s.Header) != nil {
		return nil, ErrRecords
	}
	if s.Header.Format != format {
		return nil, refuse("the records have the format %d, and this release knows %d: use the one that wrote them", s.Header.Format, format)
	}
	s.first = bytes.Clone(text)
	return s, nil
}

func (s *Records) next() (kind byte, text []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, nil, early(err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxRecord {
		return 0, nil, ErrRecords
	}
	if uint32(cap(s.buf)) < n {
		s.buf = make([]byte, n, 2*n)
	}
	s.buf = s.buf[:n]
	_, err = io.ReadFull(s.r, s.buf)
	return head[0], s.buf, early(err)
}

// early is the failure of whoever still expects something.
func early(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: they end too early", ErrRecords)
	}
	return err
}

// taker takes what records hold, in their order. Its functions may be nil.
type taker struct {
	table    func(store.Table) error
	row      func(store.Table, store.Row) error
	done     func(Tally) error
	raw      func(kind byte, text []byte) error
	progress Progress
}

// each takes all that is left, and checks that it is whole.
func (s *Records) each(take taker) (all []Tally, err error) {
	var t *store.Table
	var counted sum
	for {
		kind, text, err := s.next()
		if err != nil {
			return all, err
		}
		if take.raw != nil {
			if err := take.raw(kind, text); err != nil {
				return all, err
			}
		}
		switch {
		case kind == recTable && t == nil:
			if t, err = parseTable(text); err == nil && take.table != nil {
				err = take.table(*t)
			}
			if err == nil {
				counted = sum{table: t.Name}
			}
		case kind == recRow && t != nil:
			var row store.Row
			if row, err = parseRow(text, t.Columns); err == nil {
				counted.add(t.Columns, row)
				if take.row != nil {
					err = take.row(*t, row)
				}
				if counted.rows%batch == 0 {
					take.progress.tell(t.Name, counted.rows)
				}
			}
		case kind == recTally && t != nil:
			var said Tally
			if err = json.Unmarshal(text, &said); err == nil && said != counted.tally() {
				err = fmt.Errorf("%w: table %s has %d rows, and was written with %d", ErrRecords, t.Name, counted.rows, said.Rows)
			}
			if err == nil && take.done != nil {
				err = take.done(said)
			}
			take.progress.tell(t.Name, counted.rows)
			all, t = append(all, said), nil
		case kind == recEnd && t == nil:
			if _, err := s.r.ReadByte(); !errors.Is(err, io.EOF) {
				return all, errors.Join(ErrRecords, err)
			}
			return all, nil
		default:
			return all, ErrRecords
		}
		if err != nil {
			return all, err
		}
	}
}

func parseTable(text []byte) (*store.Table, error) {
	var d tableRecord
	if err := json.Unmarshal(text, &d); err != nil || len(d.Columns) == 0 {
		return nil, errors.Join(ErrRecords, err)
	}
	t := &store.Table{Name: d.Name, Key: d.Key}
	for _, c := range d.Columns {
		if len(c.Kind) != 1 {
			return nil, ErrRecords
		}
		t.Columns = append(t.Columns, store.Column{Name: c.Name, Kind: store.ColumnKind(c.Kind[0])})
	}
	return t, nil
}

// Pack copies records to what create gives for their header, and checks on the way
// that they are whole.
func (s *Records) Pack(create func(Header) (io.Writer, error), progress Progress) ([]Tally, error) {
	to, err := create(s.Header)
	if err != nil {
		return nil, err
	}
	w := recordWriter{w: bufio.NewWriterSize(to, 256<<10)}
	if err := w.put(recHeader, s.first); err != nil {
		return nil, err
	}
	all, err := s.each(taker{raw: w.put, progress: progress})
	if err != nil {
		return nil, err
	}
	return all, w.w.Flush()
}

// Check reads records to their end.
func (s *Records) Check(progress Progress) ([]Tally, error) { return s.each(taker{progress: progress}) }
