// Store policies of the convolution kernels: tile coordinates and neighbouring columns to the result, or to
// the block's part of the split results.
#pragma once
#include <kernels/conv/problem.cuh>

namespace ccdl::cu {

// kLast: rows are pixels and columns channels; else the other way round. target: per pixel of the tile, -1
// past the end.
template <class T, class S, bool kLast>
struct SweepStore {
  const ConvSweep<T, S>* p;
  const int64_t* target;
  int64_t group, split;
  int column0;

  // Several columns at once pay where they are one store, or where a column is far from the next anyway.
  CCDL_DEVICE bool wide() const { return p->out.vector || p->dst_stride.channel != 1; }
  template <class To, int N>
  CCDL_DEVICE void put(To* to, const Vec<To, N>& v, bool whole, int count, int64_t stride) const {
    if (whole) {
#pragma unroll
      for (int x = 0; x < N; x += kLanes<To>) {
        constexpr int kPart = least(N, kLanes<To>);
        Vec<To, kPart> part;
#pragma unroll
        for (int y = 0; y < kPart; ++y) part[y] = v[x + y];
        store_vec(to + x, part);
      }
      return;
    }
#pragma unroll
    for (int x = 0; x < N; ++x)
      if (x < count) to[x * stride] = v[x];
  }
  template <class To, int N>
  CCDL_DEVICE void scatter(To* channel, int pixel, const Vec<To, N>& v) const {
#pragma unroll
    for (int x = 0; x < N; ++x)
      if (target[pixel + x] >= 0) channel[target[pixel + x]] = v[x];
  }
  template <int N>
  CCDL_DEVICE void operator()(int row, int column, const Vec<S, N>& v) const {
    const int c = column0 + (kLast ? column : row), pixel = kLast ? row : column;
    const int64_t first = target[pixel], stride = p->dst_stride.channel;
    if (first < 0 || c >= p->columns) return;
    const int64_t at = first + (group * p->columns + c) * stride;
    int count = least(N, p->columns - c);
    bool whole = p->out.vector && count == N;
    if constexpr (!kLast) {  // neighbouring pixels need not be neighbours in memory
      whole = p->out.vector && target[pixel + N - 1] == first + N - 1 && at % N == 0;
      count = N;
    }
    if (p->out.partial != nullptr) {
      S* to = p->out.partial + split * p->out.partial_split;
      if (kLast || whole)
        put(to + at, v, whole, count, stride);
      else
        scatter(to + at - first, pixel, v);
      return;
    }
    Vec<T, N> y;
#pragma unroll
    for (int x = 0; x < N; ++x)
      if (x < count) y[x] = p->out.finish(v[x], group * p->columns + c + (kLast ? x : 0));
    if (kLast || whole)
      put(p->out.data + at, y, whole, count, stride);
    else
      scatter(p->out.data + at - first, pixel, y);
  }
};

// target: offset in dw per column of the tile, -1 where there is none.
template <class T, class S>
struct WeightStore {
  const ConvWeight<T, S>* p;
  const int64_t* target;
  int64_t base;
  int row0;

  CCDL_DEVICE bool wide() const { return false; }
  template <int N>
  CCDL_DEVICE void operator()(int row, int column, const Vec<S, N>& v) const {
    if (row0 + row >= p->rows) return;
    const int64_t at = base + (row0 + row) * p->dw_row;
#pragma unroll
    for (int x = 0; x < N; ++x) {
      if (target[column + x] < 0) continue;
      if (p->out.partial != nullptr)
        p->out.partial[at + target[column + x]] = v[x];
      else
        p->out.data[at + target[column + x]] = convert<T>(v[x]);
    }
  }
};

}  // namespace ccdl::cu
