package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Reader reads an object. A connection that is cut, or carries nothing, is made anew from where it was. It is for one
// goroutine; the context it was made with ends it. Whoever has it closes it.
type Reader struct {
	*Object
	ctx   context.Context
	size  int64
	tag   *string
	at    int64
	until int64 // where reading ends; 0: at the object's end

	body   io.ReadCloser // from at on; nil before the first read and after a cut
	stop   context.CancelFunc
	stall  *time.Timer
	failed int // tries since the last byte
}

// Read begins the reading of an object, or says that there is none (fs.ErrNotExist).
func (o *Object) Read(ctx context.Context) (*Reader, error) {
	head, err := o.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: o.bucket, Key: o.key})
	if err != nil {
		return nil, o.missing(err)
	}
	return &Reader{Object: o, ctx: ctx, size: aws.ToInt64(head.ContentLength), tag: head.ETag}, nil
}

func (r *Reader) end() int64 {
	if r.until > 0 {
		return r.until
	}
	return r.size
}

var errCut = errors.New("the connection was cut, again and again")

// Read implements io.Reader.
func (r *Reader) Read(b []byte) (int, error) {
	for {
		if r.at >= r.end() {
			return 0, io.EOF
		}
		if len(b) == 0 {
			return 0, nil
		}
		n, err := r.try(b)
		r.at += int64(n)
		if n > 0 {
			r.failed = 0
			return n, nil
		}
		if err == nil {
			continue
		}
		r.drop()
		if r.failed++; r.failed >= tries || r.ctx.Err() != nil || errors.Is(err, ErrReplaced) || statusOf(err) != 0 {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = fmt.Errorf("%w (%s)", errCut, err.Error()) // not the object's end
			}
			return 0, fmt.Errorf("byte %d of %s: %w", r.at, r.name(), err)
		}
		select {
		case <-time.After(min(r.options.Wait, time.Second<<r.failed)):
		case <-r.ctx.Done():
		}
	}
}

// try reads some of what follows.
func (r *Reader) try(b []byte) (int, error) {
	if r.body == nil {
		if err := r.ask(); err != nil {
			return 0, err
		}
	}
	r.stall.Reset(r.options.Stall)
	n, err := r.body.Read(b[:min(int64(len(b)), r.end()-r.at)])
	if err != nil {
		r.drop()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the end is known by the size
		}
	}
	return n, err
}

// ask asks for the object from where the reader stands.
func (r *Reader) ask() error {
	ctx, stop := context.WithCancel(r.ctx)
	stall := time.AfterFunc(r.options.Stall, stop)
	got, err := r.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: r.bucket, Key: r.key, IfMatch: r.tag, Range: aws.String(fmt.Sprintf("bytes=%d-%d", r.at, r.end()-1)),
	})
	if err != nil {
		stall.Stop()
		stop()
		if status := statusOf(err); status == http.StatusPreconditionFailed || status == http.StatusNotFound {
			return fmt.Errorf("%w (%w)", ErrReplaced, err)
		}
		return err
	}
	r.body, r.stop, r.stall = got.Body, stop, stall
	if want := fmt.Sprintf("bytes %d-%d/%d", r.at, r.end()-1, r.size); aws.ToString(got.ContentRange) != want {
		r.drop()
		return fmt.Errorf("%w: asked for %q the service gives %q", ErrReplaced, want, aws.ToString(got.ContentRange))
	}
	return nil
}

// drop ends the connection.
func (r *Reader) drop() {
	if r.body != nil {
		r.stall.Stop()
		r.stop()
		_ = r.body.Close() // what was read of it was read
		r.body = nil
	}
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("a place before the object")
	}
	if offset != r.at {
		r.drop()
		r.at = offset
	}
	return offset, nil
}

// Close implements io.Closer.
func (r *Reader) Close() error {
	r.drop()
	return nil
}
