package imaging

import (
	"context"
	"math"
)

// Resampling is separable: each row is filtered to the target's width, then
// the rows to its height, as they come, so that only some rows are held beside
// the source and the target. The filter is Catmull-Rom's cubic spline (Keys,
// "Cubic convolution interpolation for digital image processing", 1981, with
// a = -1/2), widened by the ratio when the image gets smaller. From a ratio of
// 4 on, whole pixels are averaged first to a ratio of 2 to 4: that costs a
// quarter and can't be seen.

// A plane is samples in rows: one channel, or four interleaved (RGBA, alpha
// premultiplied).
type plane struct {
	width, height, channels int
	// row returns one row of samples, which is valid until the next call.
	row func(y int) []uint8
}

// A span is the part of a plane's axis that is taken, in samples, and how
// many samples it becomes.
type span struct {
	from, to float64
	n        int
}

func (s span) ratio() float64 { return (s.to - s.from) / float64(s.n) }

const (
	weightBits = 14 // of a weight's fraction
	middleBits = 6  // of a fraction between the two passes
)

// A kernel is the filter along one axis: target sample i is the sum of
// weights[i] times the source samples from start[i] on. Neither the first nor
// the last source sample ever goes back from one target sample to the next.
type kernel struct {
	start   []int
	weights [][]int32
	longest int
}

func catmullRom(x float64) float64 {
	switch x = math.Abs(x); {
	case x < 1:
		return (1.5*x-2.5)*x*x + 1
	case x < 2:
		return ((-0.5*x+2.5)*x-4)*x + 2
	default:
		return 0
	}
}

// newKernel makes the filter for a span of an axis that has size samples.
func newKernel(s span, size int) kernel {
	k := kernel{start: make([]int, s.n), weights: make([][]int32, s.n)}
	ratio := s.ratio()
	widen := max(ratio, 1)
	for i := range s.n {
		center := s.from + (float64(i)+0.5)*ratio
		first := max(0, min(int(math.Ceil(center-2*widen-0.5)), size-1))
		last := max(first, min(int(math.Floor(center+2*widen-0.5)), size-1))
		exact := make([]float64, last-first+1)
		sum := 0.0
		for j := range exact {
			exact[j] = catmullRom((float64(first+j) + 0.5 - center) / widen)
			sum += exact[j]
		}
		k.start[i], k.weights[i] = first, fixed(exact, sum)
		k.longest = max(k.longest, len(exact))
	}
	return k
}

// fixed turns weights into fixed-point numbers whose sum is exactly 1, so that
// an even surface stays even.
func fixed(exact []float64, sum float64) []int32 {
	weights := make([]int32, len(exact))
	left, largest := int32(1<<weightBits), 0
	for i, w := range exact {
		weights[i] = int32(math.Round(w / sum * (1 << weightBits)))
		left -= weights[i]
		if weights[i] > weights[largest] {
			largest = i
		}
	}
	weights[largest] += left
	return weights
}

// resample writes the part of a plane that x and y take to target, whose rows
// are stride samples apart. It ends with the context's cause.
func resample(ctx context.Context, target []uint8, stride int, p plane, x, y span) error {
	p, x, y = shrink(p, x, y)
	across, down := newKernel(x, p.width), newKernel(y, p.height)
	length := x.n * p.channels
	ring := make([][]int16, down.longest) // filtered rows; row i is at i modulo its length
	for i := range ring {
		ring[i] = make([]int16, length)
	}
	sums := make([]int32, length)
	next := 0 // the first row that was not filtered yet
	for i := range y.n {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		first := down.start[i]
		for next = max(next, first); next < first+len(down.weights[i]); next++ {
			filterRow(ring[next%len(ring)], p.row(next), across, p.channels)
		}
		clear(sums)
		for j, w := range down.weights[i] {
			addRow(sums, ring[(first+j)%len(ring)], w)
		}
		finishRow(target[i*stride:i*stride+length], sums)
	}
	return nil
}

// filterRow filters along a row.
func filterRow(to []int16, row []uint8, k kernel, channels int) {
	const shift = weightBits - middleBits
	if channels == 4 {
		filterRow4(to, row, k)
		return
	}
	for i, weights := range k.weights {
		samples := row[k.start[i]:][:len(weights)]
		sum := int32(1 << (shift - 1))
		for j, w := range weights {
			sum += int32(samples[j]) * w
		}
		to[i] = int16(sum >> shift)
	}
}

func filterRow4(to []int16, row []uint8, k kernel) {
	const shift = weightBits - middleBits
	for i, weights := range k.weights {
		samples := row[4*k.start[i]:][:4*len(weights)]
		r, g, b, a := int32(1<<(shift-1)), int32(1<<(shift-1)), int32(1<<(shift-1)), int32(1<<(shift-1))
		for _, w := range weights {
			s := (*[4]uint8)(samples)
			r += int32(s[0]) * w
			g += int32(s[1]) * w
			b += int32(s[2]) * w
			a += int32(s[3]) * w
			samples = samples[4:]
		}
		t := (*[4]int16)(to[4*i:])
		t[0], t[1], t[2], t[3] = int16(r>>shift), int16(g>>shift), int16(b>>shift), int16(a>>shift)
	}
}

func addRow(sums []int32, row []int16, w int32) {
	row = row[:len(sums)]
	for i := range sums {
		sums[i] += int32(row[i]) * w
	}
}

func finishRow(to []uint8, sums []int32) {
	const shift = weightBits + middleBits
	for i, sum := range sums[:len(to)] {
		to[i] = uint8(min(max((sum+1<<(shift-1))>>shift, 0), 255))
	}
}

// shrink averages blocks of whole samples where the ratio is 4 or more.
func shrink(p plane, x, y span) (plane, span, span) {
	const most = 1024 // a block's sum stays below 32 bits
	kx, ky := min(max(1, int(x.ratio()/2)), most), min(max(1, int(y.ratio()/2)), most)
	if kx == 1 && ky == 1 {
		return p, x, y
	}
	small := plane{width: (p.width + kx - 1) / kx, height: (p.height + ky - 1) / ky, channels: p.channels}
	sums := make([]uint32, small.width*p.channels)
	out := make([]uint8, len(sums))
	small.row = func(row int) []uint8 {
		clear(sums)
		rows := min(ky, p.height-row*ky)
		for i := range rows {
			sumRow(sums, p.row(row*ky+i), kx, p.channels)
		}
		average(out, sums, uint64(kx*rows))
		if rest := p.width % kx; rest > 0 { // the last block is narrower
			last := len(out) - p.channels
			average(out[last:], sums[last:], uint64(rest*rows))
		}
		return out
	}
	x.from, x.to = x.from/float64(kx), x.to/float64(kx)
	y.from, y.to = y.from/float64(ky), y.to/float64(ky)
	return small, x, y
}

// average divides the sums of count samples.
func average(out []uint8, sums []uint32, count uint64) {
	const bits = 32
	part := 1 << bits / count
	half := uint64(count) / 2
	for i, sum := range sums[:len(out)] {
		out[i] = uint8((uint64(sum) + half) * part >> bits)
	}
}

// sumRow adds blocks of k samples of a row; the last one may be cut.
func sumRow(sums []uint32, row []uint8, k, channels int) {
	switch {
	case channels == 4:
		for i := range len(sums) / 4 {
			total := (*[4]uint32)(sums[4*i:])
			block := row[4*i*k : min(len(row), 4*(i+1)*k)]
			for ; len(block) >= 4; block = block[4:] {
				total[0] += uint32(block[0])
				total[1] += uint32(block[1])
				total[2] += uint32(block[2])
				total[3] += uint32(block[3])
			}
		}
	case k == 2:
		whole := len(row) / 2
		for i := range sums[:whole] {
			sums[i] += uint32(row[2*i]) + uint32(row[2*i+1])
		}
		if len(row)%2 > 0 {
			sums[whole] += uint32(row[len(row)-1])
		}
	default:
		for i := range sums {
			total := uint32(0)
			for _, sample := range row[i*k : min(len(row), i*k+k)] {
				total += uint32(sample)
			}
			sums[i] += total
		}
	}
}
