package backup

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// A sealed file is a head and chunks to the end. The head is
//
//	magic   16 bytes
//	version 4 bytes, big endian
//	salt    32 bytes, random: every file has keys of its own
//	check   32 bytes: HMAC-SHA256 of the three above, by a key that only the seal key gives
//
// Each chunk is chunkBytes of a backup, or what is left, by AES-256-GCM: 16 bytes more. Its nonce is its number and whether
// it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár), so that a chunk that was changed,
// moved, doubled or left out does not open, and a file that was cut short has no last one.
const (
	sealedMagic   = "stocktake sealed"
	sealedVersion = 1
	saltBytes     = 32
	headBytes     = len(sealedMagic) + 4 + saltBytes + sha256.Size
	chunkBytes    = 64 << 10
	lastChunk     = 1 // in the nonce's last byte
)

// The sentinels of seals; test with errors.Is.
var (
	// ErrSealed: the file is sealed, and no key was given.
	ErrSealed = errors.New("the backup is sealed")
	// ErrNotSealed: a key was given, and the file is not sealed: anybody could have made it.
	ErrNotSealed = errors.New("the backup is not sealed")
	// ErrSealKey: the key is not the one the file was sealed with, or the file's beginning is damaged.
	ErrSealKey = errors.New("the backup does not open: it was sealed with another key, or its beginning is damaged")
)

// SealKey is what backups are sealed with: 32 random bytes.
type SealKey [32]byte

// ParseSealKey reads a key from the text of a file or a variable: 64 hexadecimal digits or base64, blanks around them.
func ParseSealKey(text []byte) (*SealKey, error) {
	text = bytes.TrimSpace(text)
	var key SealKey
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if b, err := decode(string(text)); err == nil && len(b) == len(key) {
			return (*SealKey)(b), nil
		}
	}
	return nil, errors.New("a seal key is 32 random bytes, written as 64 hexadecimal digits or base64; openssl rand -hex 32 makes one")
}

// derive gives the key of a file's chunks and that of its head's check.
func (k *SealKey) derive(salt []byte) (chunks cipher.AEAD, check []byte, err error) {
	keys, err := hkdf.Key(sha256.New, k[:], salt, sealedMagic, 64)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(keys[:32])
	if err != nil {
		return nil, nil, err
	}
	chunks, err = cipher.NewGCM(block)
	return chunks, keys[32:], err
}

func headSum(check, head []byte) []byte {
	h := hmac.New(sha256.New, check)
	_, _ = h.Write(head) // a hash does not fail
	return h.Sum(nil)
}

// nonces gives those of the chunks in order.
type nonces struct{ next uint64 }

func (n *nonces) take(last bool) []byte {
	var b [12]byte
	binary.BigEndian.PutUint64(b[3:], n.next)
	if last {
		b[11] = lastChunk
	}
	n.next++
	return b[:]
}

// Seal gives a writer that seals what is written to it. Close ends the file; it does not close w. What was not closed does
// not open.
func Seal(w io.Writer, key *SealKey) (io.WriteCloser, error) {
	head := binary.BigEndian.AppendUint32([]byte(sealedMagic), sealedVersion)
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // does not fail: it ends the process instead
	head = append(head, salt...)
	chunks, check, err := key.derive(salt)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(append(head, headSum(check, head)...)); err != nil {
		return nil, err
	}
	return &sealer{w: w, chunks: chunks, buf: make([]byte, 0, chunkBytes+chunks.Overhead())}, nil
}

// sealer holds a chunk back until more follows it, or it is the last.
type sealer struct {
	w      io.Writer
	chunks cipher.AEAD
	nonces nonces
	buf    []byte
	err    error // of the first write that failed
}

func (s *sealer) Write(b []byte) (n int, err error) {
	for len(b) > 0 && s.err == nil {
		if len(s.buf) == chunkBytes {
			s.put(false)
			continue
		}
		taken := min(chunkBytes-len(s.buf), len(b))
		s.buf = append(s.buf, b[:taken]...)
		b, n = b[taken:], n+taken
	}
	return n, s.err
}

func (s *sealer) put(last bool) {
	if s.err == nil {
		_, s.err = s.w.Write(s.chunks.Seal(s.buf[:0], s.nonces.take(last), s.buf, nil))
		s.buf = s.buf[:0]
	}
}

func (s *sealer) Close() error {
	s.put(true)
	return s.err
}

// Unseal gives what was sealed, from the beginning of r, which it reads from there again after a Seek to its start; it seeks
// to no other place. Without a key it gives r itself. What was sealed with another key is ErrSealKey, what is not sealed
// ErrNotSealed; no byte is given of a chunk that is not as it was written (ErrDamaged).
func Unseal(r io.ReadSeeker, key *SealKey) io.ReadSeeker {
	if key == nil {
		return r
	}
	return &unsealer{r: r, key: key}
}

type unsealer struct {
	r      io.ReadSeeker
	key    *SealKey
	chunks cipher.AEAD // nil before the head was read
	nonces nonces
	ahead  []byte // the beginning of the chunk after the one at hand: one byte, as long as there is one
	buf    []byte
	plain  []byte // opened and not yet given
	last   bool
	err    error
}

// Seek implements io.Seeker, for the start alone.
func (u *unsealer) Seek(offset int64, whence int) (int64, error) {
	if offset != 0 || whence != io.SeekStart {
		return 0, errors.New("a sealed backup is read from its start")
	}
	*u = unsealer{r: u.r, key: u.key, buf: u.buf}
	return u.r.Seek(0, io.SeekStart)
}

func (u *unsealer) Read(b []byte) (int, error) {
	for len(u.plain) == 0 && u.err == nil {
		switch {
		case u.last:
			u.err = io.EOF
		case u.chunks == nil:
			u.err = u.head()
		default:
			u.err = u.chunk()
		}
	}
	if len(u.plain) == 0 {
		return 0, u.err
	}
	n := copy(b, u.plain)
	u.plain = u.plain[n:]
	return n, nil
}

func (u *unsealer) head() error {
	head := make([]byte, headBytes)
	n, err := io.ReadFull(u.r, head)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case bytes.HasPrefix(head, []byte(magic)):
		return ErrNotSealed
	case !bytes.HasPrefix(head, []byte(sealedMagic)):
		return ErrNoBackup
	case n < headBytes:
		return fmt.Errorf("%w: it ends after %d bytes, before its end: it was cut short", ErrDamaged, n)
	}
	if v := binary.BigEndian.Uint32(head[len(sealedMagic):]); v != sealedVersion {
		return fmt.Errorf("the backup is sealed in format %d and this program knows %d alone: read it with the version of the program that wrote it", v, sealedVersion)
	}
	said := head[headBytes-sha256.Size:]
	chunks, check, err := u.key.derive(head[len(sealedMagic)+4:][:saltBytes])
	if err != nil {
		return err
	}
	if !hmac.Equal(said, headSum(check, head[:headBytes-sha256.Size])) {
		return ErrSealKey
	}
	u.chunks = chunks
	if u.buf == nil {
		u.buf = make([]byte, chunkBytes+chunks.Overhead()+1)
	}
	return nil
}

// chunk opens the next chunk. Whether it is the last shows by what follows it.
func (u *unsealer) chunk() error {
	whole := len(u.buf) - 1
	n := copy(u.buf, u.ahead)
	more, err := io.ReadFull(u.r, u.buf[n:])
	n += more
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if u.last = err != nil; u.last {
		whole = n
	}
	number := u.nonces.next
	plain, err := u.chunks.Open(nil, u.nonces.take(u.last), u.buf[:whole], nil)
	if err != nil || len(plain) == 0 && number > 0 {
		return fmt.Errorf("%w: chunk %d of the sealed file does not open: it was changed, moved or cut short", ErrDamaged, number)
	}
	u.plain, u.ahead = plain, append(u.ahead[:0], u.buf[whole:n]...)
	return nil
}
