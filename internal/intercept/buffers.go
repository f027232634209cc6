package intercept

import (
	"sync"
	"sync/atomic"
)

const (
	copyBuffer  = 16 << 10 // what one TLS record holds
	smallBuffer = 2 << 10
	manyBuffers = 64
)

// BufferPool lends the buffers that bodies are copied with. A buffer is held as long
// as its stream is open, so when many are out the next ones are small: many open
// streams are slow ones.
type BufferPool struct {
	large, small sync.Pool
	out          atomic.Int64
}

// Get implements httputil.BufferPool.
func (b *BufferPool) Get() []byte {
	if b.out.Add(1) > manyBuffers {
		if buf, ok := b.small.Get().(*[smallBuffer]byte); ok {
			return buf[:]
		}
		return make([]byte, smallBuffer)
	}
	if buf, ok := b.large.Get().(*[copyBuffer]byte); ok {
		return buf[:]
	}
	return make([]byte, copyBuffer)
}

// Put implements httputil.BufferPool.
func (b *BufferPool) Put(buf []byte) {
	b.out.Add(-1)
	if len(buf) == smallBuffer {
		b.small.Put((*[smallBuffer]byte)(buf))
		return
	}
	b.large.Put((*[copyBuffer]byte)(buf))
}
