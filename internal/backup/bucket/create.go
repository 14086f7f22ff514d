package bucket

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	// mark is the member of an object's metadata that names the upload it was made by.
	mark = "stocktake-upload"
	// partsAtOnce go up at a time, while the next is written.
	partsAtOnce = 2
	// smallParts have the first size, and those after them, of the ten thousand a service takes, largeFactor times as much.
	smallParts, largeFactor = 8000, 8
	// partTime is how long a part may take, all tries together.
	partTime = 15 * time.Minute
	// abortTime is how long the end of a failed upload may take.
	abortTime = 30 * time.Second
	// edgeBytes are read back of an object's beginning and of its end.
	edgeBytes = 64 << 10
)

// Create uploads what write writes. fs.ErrExist: there is such an object already. Whatever the error, there is none of this
// upload, unless the error says so.
func (o *Object) Create(ctx context.Context, write func(io.Writer) error) (err error) {
	if err := o.absent(ctx); err != nil {
		return err
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // does not fail: it ends the process instead
	made, err := o.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: o.bucket, Key: o.key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		ContentType: aws.String("application/octet-stream"), Metadata: map[string]string{mark: hex.EncodeToString(id)},
	})
	if err != nil {
		return o.missing(err)
	}
	u := newUpload(ctx, o, made.UploadId, hex.EncodeToString(id))
	if err = write(u); err == nil {
		err = u.flush()
	}
	if failed := u.wait(); failed != nil {
		err = failed // what write gives then is no more than that
	}
	if err != nil {
		return errors.Join(err, u.abort(ctx))
	}
	if err := u.complete(ctx); err != nil {
		// Its answer may be what was lost: the object is there then.
		return errors.Join(err, u.abort(ctx), u.remove(ctx))
	}
	if err := u.check(ctx); err != nil {
		return errors.Join(err, u.remove(ctx))
	}
	return nil
}

// absent refuses an object that is there.
func (o *Object) absent(ctx context.Context) error {
	_, err := o.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: o.bucket, Key: o.key})
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w", o.name(), fs.ErrExist)
	case statusOf(err) == http.StatusNotFound:
		return nil
	}
	return o.missing(err)
}

// upload is an upload under way. One goroutine writes.
type upload struct {
	*Object
	id      *string
	mark    string
	ctx     context.Context
	cancel  context.CancelCauseFunc
	buf     []byte
	buffers chan []byte // those that nobody uses; receiving one waits for a part to be done

	parts      []types.CompletedPart
	sums       []byte // SHA-256 of the parts, one after the other
	bytes      int64
	head, tail []byte // the first and last edgeBytes
}

func newUpload(ctx context.Context, o *Object, id *string, mark string) *upload {
	u := &upload{Object: o, id: id, mark: mark, buffers: make(chan []byte, partsAtOnce+1)}
	u.ctx, u.cancel = context.WithCancelCause(ctx)
	for range cap(u.buffers) {
		u.buffers <- nil
	}
	return u
}

// partBytes is the size of the next part.
func (u *upload) partBytes() int {
	if len(u.parts) >= smallParts {
		return largeFactor * u.options.PartBytes
	}
	return u.options.PartBytes
}

// Write implements io.Writer.
func (u *upload) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		if u.buf == nil {
			if err := u.take(); err != nil {
				return n, err
			}
		}
		taken := min(u.partBytes()-len(u.buf), len(b))
		u.buf = append(u.buf, b[:taken]...)
		b, n = b[taken:], n+taken
		if len(u.buf) == u.partBytes() {
			u.send()
		}
	}
	return n, nil
}

// take gets a buffer, or why the upload failed.
func (u *upload) take() error {
	select {
	case buf := <-u.buffers:
		if u.ctx.Err() != nil {
			u.buffers <- buf
			break
		}
		if cap(buf) < u.partBytes() {
			buf = make([]byte, 0, u.partBytes())
		}
		u.buf = buf[:0]
		return nil
	case <-u.ctx.Done():
	}
	return context.Cause(u.ctx)
}

// flush sends what is left. An object has one part at least.
func (u *upload) flush() error {
	if u.buf == nil && len(u.parts) == 0 {
		if err := u.take(); err != nil {
			return err
		}
	}
	if u.buf != nil {
		u.send()
	}
	return nil
}

// send has a part uploaded.
func (u *upload) send() {
	part := u.buf
	u.buf = nil
	sum := sha256.Sum256(part)
	u.bytes += int64(len(part))
	u.sums = append(u.sums, sum[:]...)
	u.head = append(u.head, part[:min(len(part), edgeBytes-len(u.head))]...)
	u.tail = append(u.tail, part[max(0, len(part)-edgeBytes):]...)
	u.tail = bytes.Clone(u.tail[max(0, len(u.tail)-edgeBytes):])
	number := len(u.parts)
	done := types.CompletedPart{
		PartNumber: aws.Int32(int32(number + 1)), ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), ETag: new(string),
	}
	u.parts = append(u.parts, done)
	go func() {
		tag, err := u.put(part, done)
		if err != nil {
			u.cancel(fmt.Errorf("part %d of %s: %w", number+1, u.name(), err))
		}
		*done.ETag = tag
		u.buffers <- part
	}()
}

func (u *upload) put(part []byte, as types.CompletedPart) (tag string, err error) {
	ctx, cancel := context.WithTimeoutCause(u.ctx, partTime, fmt.Errorf("it took more than %s", partTime))
	defer cancel()
	put, err := u.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: u.bucket, Key: u.key, UploadId: u.id, PartNumber: as.PartNumber, Body: bytes.NewReader(part),
		ContentLength: aws.Int64(int64(len(part))), ChecksumSHA256: as.ChecksumSHA256,
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", err
	case put.ChecksumSHA256 != nil && *put.ChecksumSHA256 != *as.ChecksumSHA256:
		return "", fmt.Errorf("%w: its checksum is another", ErrDiffers)
	}
	return aws.ToString(put.ETag), nil
}

// wait waits for the parts under way, and gives the first error.
func (u *upload) wait() error {
	if u.buf != nil {
		u.buffers <- u.buf
		u.buf = nil
	}
	for range cap(u.buffers) {
		<-u.buffers
	}
	err := context.Cause(u.ctx)
	u.cancel(nil)
	return err
}

// complete makes the object of the parts, unless there is one by now.
func (u *upload) complete(ctx context.Context) error {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: u.bucket, Key: u.key, UploadId: u.id, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
		IfNoneMatch: aws.String("*"),
	}
	_, err := u.client.CompleteMultipartUpload(ctx, in)
	if codeOf(err) == "NotImplemented" { // the service knows no condition; there was no object when the upload began
		in.IfNoneMatch = nil
		_, err = u.client.CompleteMultipartUpload(ctx, in)
	}
	if err == nil {
		return nil
	}
	// An answer that was lost is answered with an error when it is asked for again.
	if head, failed := u.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: u.bucket, Key: u.key}); failed == nil {
		if head.Metadata[mark] == u.mark {
			return nil
		}
		return fmt.Errorf("%s: %w", u.name(), fs.ErrExist)
	}
	return fmt.Errorf("the end of the upload to %s: %w", u.name(), err)
}

// abort has the service forget the parts of an upload that failed.
func (u *upload) abort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	_, err := u.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: u.bucket, Key: u.key, UploadId: u.id})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("parts of it stay in the bucket, until a rule of its life cycle removes incomplete uploads: %w", err)
	}
	return nil
}

// check asks for the object.
func (u *upload) check(ctx context.Context) error {
	head, err := u.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: u.bucket, Key: u.key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return fmt.Errorf("the object does not read back: %w", u.missing(err))
	}
	whole := sha256.Sum256(u.sums)
	sum := fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(whole[:]), len(u.parts))
	switch {
	case head.Metadata[mark] != u.mark:
		return fmt.Errorf("%s: %w: it is of another upload", u.name(), ErrDiffers)
	case aws.ToInt64(head.ContentLength) != u.bytes:
		return fmt.Errorf("%s: %w: it has %d bytes, not %d", u.name(), ErrDiffers, aws.ToInt64(head.ContentLength), u.bytes)
	case head.ChecksumSHA256 != nil && head.ChecksumType == types.ChecksumTypeComposite && *head.ChecksumSHA256 != sum:
		return fmt.Errorf("%s: %w: its checksum is another", u.name(), ErrDiffers)
	}
	r := &Reader{Object: u.Object, ctx: ctx, size: u.bytes, tag: head.ETag}
	return errors.Join(r.holds(0, u.head), r.holds(u.bytes-int64(len(u.tail)), u.tail))
}

// holds compares what the object has at a place.
func (r *Reader) holds(at int64, want []byte) error {
	if len(want) == 0 {
		return nil
	}
	r.at, r.until = at, at+int64(len(want))
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("the object does not read back: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: %w at bytes %d to %d", r.name(), ErrDiffers, at, r.until)
	}
	return nil
}

// remove removes an object of this upload that is not what was sent.
func (u *upload) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	head, err := u.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: u.bucket, Key: u.key})
	if err == nil && head.Metadata[mark] == u.mark {
		_, err = u.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: u.bucket, Key: u.key})
	}
	if err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("%s is there, and is no backup: remove it: %w", u.name(), err)
	}
	return nil
}
