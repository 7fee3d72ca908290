// How a reduction walks its input: dimensions collapsed into output dims and reduced dims, row or column
// mode, and what the kernels read (in place or packed).
#pragma once
#include <algorithm>
#include <limits>

#include <ccdl/cpu/simd/reduce.h>

namespace ccdl::cpu::reduction {

constexpr int64_t kGrain = 64 * 1024;  // elements per task
constexpr int64_t kMaxTasks = 64;      // long reductions are cut into about this many pieces in column mode
constexpr int64_t kBlock = 2048;       // accumulators of one task, elements of one packed block
constexpr int64_t kShortPiece = 128;   // elements of a piece of a row that is shared with other rows
constexpr int64_t kFoldWidth = 64;     // accumulators of narrow rows that are read as one
constexpr int64_t kDirectRows = 64;    // so few are joined in registers
constexpr int64_t kFewColumns = 8;     // so few are searched column by column
constexpr int64_t kColumns = 1024;  // side by side in column mode: a page of floats, which a row is read in

struct Dim {
  int64_t size, xs, ys;
};

struct Plan {
  Dim out[kMaxDims], red[kMaxDims];
  int nout = 0, nred = 0;
  int64_t outputs = 1, reduced = 1;
  bool rows = true;  // row mode
  bool short_rows =
      false;             // row mode, one reduced dimension of contiguous elements: many rows per kernel call
  int64_t fold = 1;      // column mode: this many dense narrow rows are read as one
  bool dense_y = false;  // outputs in plan order lie one behind the other in y
  // Row mode, several reduced dimensions of which the innermost is short: runs of it are added row by row to
  // many outputs, instead of one output after the other.
  bool short_pieces = false;

  int64_t x_offset_out(int64_t o) const { return offset(out, nout, o, false); }
  int64_t y_offset_out(int64_t o) const { return offset(out, nout, o, true); }
  int64_t x_offset_red(int64_t r) const { return offset(red, nred, r, false); }
  static int64_t offset(const Dim* d, int n, int64_t i, bool y) {
    int64_t off = 0;
    for (int k = n - 1; k > 0; --k) {
      off += (i % d[k].size) * (y ? d[k].ys : d[k].xs);
      i /= d[k].size;
    }
    return n ? off + i * (y ? d[0].ys : d[0].xs) : 0;
  }
};

// Sorted by falling x stride (broadcast outermost), neighbours merged where both strides allow.
inline int collapse(Dim* d, int n) {
  const auto key = [](const Dim& v) { return v.xs == 0 ? std::numeric_limits<int64_t>::max() : v.xs; };
  for (int i = 1; i < n; ++i)  // a stable sort of a few without a buffer
    for (int j = i; j > 0 && key(d[j]) > key(d[j - 1]); --j) std::swap(d[j], d[j - 1]);
  int m = 0;
  for (int i = 0; i < n; ++i) {
    if (m && d[m - 1].xs == d[i].xs * d[i].size && d[m - 1].ys == d[i].ys * d[i].size) {
      d[m - 1] = {d[m - 1].size * d[i].size, d[i].xs, d[i].ys};
    } else {
      d[m++] = d[i];
    }
  }
  return m;
}

inline Plan make_plan(const View& x, const View& y) {
  Plan p;
  for (int d = 0; d < x.ndim; ++d) {
    if (x.sizes[d] == 1) continue;
    if (y.sizes[d] == 1) {
      p.red[p.nred++] = {x.sizes[d], x.strides[d], 0};
      p.reduced *= x.sizes[d];
    } else {
      p.out[p.nout++] = {x.sizes[d], x.strides[d], y.strides[d]};
      p.outputs *= x.sizes[d];
    }
  }
  if (p.outputs == 0 || p.reduced == 0) return p;
  p.nout = collapse(p.out, p.nout);
  p.nred = collapse(p.red, p.nred);
  if (p.nred == 0) p.red[p.nred++] = {1, 1, 0};
  if (p.nout == 0) return p;
  p.dense_y = p.out[p.nout - 1].ys == 1;
  for (int k = p.nout - 1; k > 0; --k) p.dense_y &= p.out[k - 1].ys == p.out[k].ys * p.out[k].size;
  const Dim& o = p.out[p.nout - 1];
  const Dim& r = p.red[p.nred - 1];
  p.short_rows = p.nred == 1 && r.xs == 1 && r.size <= kGrain && o.xs > 1;
  p.short_pieces = p.nred > 1 && r.xs == 1 && r.size > 1 && r.size <= kShortPiece && o.xs > 1 && o.size >= 8;
  p.rows = r.xs < o.xs ? (r.size >= 16 || p.outputs < 64 || p.short_rows || p.short_pieces) : o.xs == 0;
  if (!p.rows && p.nout == 1 && p.nred == 1 && o.xs == 1 && r.xs == o.size && o.size <= 128 && r.size >= 16)
    p.fold = std::min(512 / o.size, r.size / 4);
  return p;
}

struct Source {
  const char* data;
  DType dtype;
  int64_t bytes;
  RedElem elem;  // what kernels work on
  bool packed;   // x has another type: pack into elem first
};
// Half formats and small integers are read in place where the kernel's table has an entry for them and the
// run is contiguous.
inline Source source_of(const View& x, const Plan& plan, const ReduceKernels::Row* by_elem) {
  Source s{static_cast<const char*>(x.data), x.dtype, item_size(x.dtype), kElemI64, false};
  switch (x.dtype) {
    case DType::Float64:
      s.elem = kElemF64;
      break;
    case DType::Float32:
      s.elem = kElemF32;
      break;
    case DType::Float16:
      s.elem = kElemF16;
      break;
    case DType::BFloat16:
      s.elem = kElemBF16;
      break;
    case DType::Bool:
    case DType::UInt8:
      s.elem = kElemU8;
      break;
    case DType::Int8:
      s.elem = kElemI8;
      break;
    case DType::Int16:
      s.elem = kElemI16;
      break;
    case DType::Int32:
      s.elem = kElemI32;
      break;
    default:
      break;
  }
  const int64_t step = !plan.nred ? 1 : plan.rows ? plan.red[plan.nred - 1].xs : plan.out[plan.nout - 1].xs;
  if (s.elem >= kElemF16 && (step != 1 || !by_elem || !by_elem[s.elem]))
    s.elem = is_half(x.dtype) ? kElemF32 : kElemI64, s.packed = true;
  return s;
}

}  // namespace ccdl::cpu::reduction
