// Runs a block kernel over the operands' blocks: rows, short rows gathered, panels of transposed operands,
// outputs that pass the caches by.
#include <algorithm>
#include <atomic>

#include <ccdl/cpu/elementwise_blocks.h>
#include <ccdl/cpu/simd/elementwise_convert.h>
#include <ccdl/cpu/simd/stream.h>

namespace ccdl::cpu {
namespace blocks {

Plan::Plan(const View* const* views, int count) : operands(count) {
  const View& out = *views[0];
  int order[kMaxDims], n = 0;
  for (int d = 0; d < out.ndim; ++d) {
    numel *= out.sizes[d];
    if (out.sizes[d] == 1) continue;
    int at = n++;
    for (; at > 0 && out.strides[order[at - 1]] < out.strides[d]; --at) order[at] = order[at - 1];
    order[at] = d;
  }
  for (int i = 0; i < n; ++i) {
    const int d = order[i];
    bool merge = ndim > 0;
    for (int k = 0; merge && k < count; ++k)
      merge = strides[k][ndim - 1] == views[k]->strides[d] * out.sizes[d];
    if (!merge) sizes[ndim++] = 1;
    sizes[ndim - 1] *= out.sizes[d];
    for (int k = 0; k < count; ++k) strides[k][ndim - 1] = views[k]->strides[d];
  }
  if (ndim == 0) {
    ndim = 1;
    sizes[0] = numel;
    for (int k = 0; k < count; ++k) strides[k][0] = 1;
  }
}

bool Plan::is_linear(int k) const {
  int64_t expected = 1;
  for (int d = ndim - 1; d >= 0; --d) {
    if (strides[k][d] != expected) return false;
    expected *= sizes[d];
  }
  return true;
}

bool Plan::is_constant(int k) const {
  for (int d = 0; d < ndim; ++d)
    if (strides[k][d] != 0) return false;
  return true;
}

namespace {

constexpr int64_t kStreamBlock = 512;    // of outputs that pass the caches by
constexpr int64_t kConstantBlock = 256;  // of rows with a number of their own: it is spread once, read often
constexpr int64_t kPanelColumns = 256;   // columns of a panel of transposed operands
constexpr int64_t kPanelLine = 64;       // bytes of a column of the panel: a cache line of the operand
constexpr int64_t kLongRow = 128;  // rows from here on are blocks of their own; shorter ones share a block

struct Operand {
  char* data;
  int64_t item, width;  // bytes of an element in memory and in the block buffer
  bool native, linear, constant;
  LoadFn load;
  StoreFn store;
  char* buffer;
  int64_t filled;  // elements of the buffer that hold the constant
};

void* fill_constant(Operand& o, int64_t n) {
  if (o.filled < n) {
    o.load(o.data, 0, o.buffer, n);
    o.filled = n;
  }
  return o.buffer;
}

// Blocks inside one row each.
bool run_rows(ElementFn fn, const Plan& plan, Operand* ops, int64_t begin, int64_t end,
              const ElementParams& p) {
  Cursor cursor(plan, begin);
  const int last = plan.ndim - 1;
  bool flag = false, buffered = false, row_constant = false;
  bool in_place[kMaxOperands];
  for (int k = 0; k < plan.operands; ++k) {
    in_place[k] = !ops[k].data || (ops[k].native && plan.strides[k][last] == 1);
    buffered = buffered || !in_place[k];
    row_constant = row_constant || (ops[k].data && !ops[k].constant && plan.strides[k][last] == 0);
  }
  for (int64_t position = begin; position < end;) {
    int64_t n = std::min(cursor.row_left(), end - position);
    if (buffered) n = std::min(n, row_constant ? kConstantBlock : kBlock);
    const bool new_row = cursor.at[last] == 0;
    void* ptr[kMaxOperands];
    for (int k = 0; k < plan.operands; ++k) {
      Operand& o = ops[k];
      char* source = o.data + cursor.offset[k] * o.item;
      if (in_place[k]) {
        ptr[k] = o.data ? source : nullptr;
      } else if (o.constant) {
        ptr[k] = fill_constant(o, n);
      } else if (k > 0 && plan.strides[k][last] == 0) {
        if (new_row) o.filled = 0;
        ptr[k] = o.buffer;
        if (o.filled < n) o.load(source, 0, o.buffer, o.filled = n);
      } else {
        ptr[k] = o.buffer;
        if (k > 0) o.load(source, plan.strides[k][last], o.buffer, n);
      }
    }
    flag |= fn(ptr, n, p);
    if (!in_place[0])
      ops[0].store(ops[0].buffer, ops[0].data + cursor.offset[0] * ops[0].item, plan.strides[0][last], n);
    cursor.advance(n);
    position += n;
  }
  return flag;
}

// Contiguous operands of the kernel's own types, the output written past the caches from a buffer.
bool run_streamed(ElementFn fn, int count, const Operand* ops, int64_t begin, int64_t end,
                  const ElementParams& p) {
  alignas(64) char buffer[kStreamBlock * 8];
  const StreamKernels& simd = simd_stream();
  bool flag = false;
  for (int64_t n; begin < end; begin += n) {
    n = std::min(kStreamBlock, end - begin);
    void* ptr[kMaxOperands] = {buffer};
    const char* ahead[kMaxOperands];
    int reads = 0;
    for (int k = 1; k < count; ++k) {
      if ((ptr[k] = ops[k].data) == nullptr) continue;
      ptr[k] = ops[k].data + begin * ops[k].item;
      if (ops[k].item == ops[0].item) ahead[reads++] = static_cast<char*>(ptr[k]) + n * ops[k].item;
    }
    flag |= fn(ptr, n, p);
    simd.copy(ops[0].data + begin * ops[0].item, buffer, n * ops[0].item, ahead, reads);
  }
  simd.done();
  return flag;
}

// `rows` whole rows of operand k from the cursor on into its buffer.
void load_rows(const Plan& plan, const Operand& o, int k, int64_t offset, char* to, int64_t rows) {
  const int last = plan.ndim - 1;
  const int64_t n = plan.sizes[last], step = plan.strides[k][last], next = plan.strides[k][last - 1] * o.item;
  const ElementwiseConvertKernels& simd = simd_elementwise_convert();
  const char* from = o.data + offset * o.item;
  if (o.native && step == 1) {
    simd.copy_rows(from, next, to, n * o.width, rows, n * o.item);
  } else if (o.native && step == 0 && n * o.item >= 128 && o.item == 1) {
    for (int64_t r = 0; r < rows; ++r, from += next, to += n) simd.fill[0](from, to, n);
  } else if (step == 0) {
    const auto spread = simd.spread_rows[width_index(o.width)];
    if (o.native) return spread(from, plan.strides[k][last - 1], to, rows, n);
    alignas(64) char numbers[kBlock / 2 * 8];  // the rows' own, in the kernel's type; rows hold two or more
    o.load(from, plan.strides[k][last - 1], numbers, rows);
    spread(numbers, 1, to, rows, n);
  } else {
    for (int64_t r = 0; r < rows; ++r, from += next, to += n * o.width) o.load(from, step, to, n);
  }
}

// Blocks across short rows: what is not linear is gathered and scattered row by row.
bool run_gathered(ElementFn fn, const Plan& plan, Operand* ops, int64_t begin, int64_t end,
                  const ElementParams& p) {
  Cursor cursor(plan, begin);
  const int last = plan.ndim - 1;
  bool flag = false;
  for (int64_t position = begin; position < end;) {
    const int64_t n = std::min(kBlock, end - position);
    void* ptr[kMaxOperands];
    int walked[kMaxOperands], walks = 0;
    for (int k = 0; k < plan.operands; ++k) {
      Operand& o = ops[k];
      char* source = o.data + position * o.item;
      ptr[k] = o.buffer;
      if (!o.data)
        ptr[k] = nullptr;
      else if (o.linear && o.native)
        ptr[k] = source;
      else if (k == 0)
        continue;
      else if (o.linear)
        o.load(source, 1, o.buffer, n);
      else if (o.constant)
        fill_constant(o, n);
      else
        walked[walks++] = k;
    }
    Cursor out = cursor;
    for (int64_t done = 0; done < n;) {
      if (const int64_t rows = std::min(cursor.rows_left(), (n - done) / plan.sizes[last]); rows > 1) {
        for (int w = 0; w < walks; ++w) {
          const int k = walked[w];
          load_rows(plan, ops[k], k, cursor.offset[k], ops[k].buffer + done * ops[k].width, rows);
        }
        cursor.advance_rows(rows);
        done += rows * plan.sizes[last];
        continue;
      }
      const int64_t row = std::min(cursor.row_left(), n - done);
      for (int w = 0; w < walks; ++w) {
        const int k = walked[w];
        ops[k].load(ops[k].data + cursor.offset[k] * ops[k].item, plan.strides[k][last],
                    ops[k].buffer + done * ops[k].width, row);
      }
      cursor.advance(row);
      done += row;
    }
    flag |= fn(ptr, n, p);
    Operand& y = ops[0];
    if (ptr[0] == y.buffer && y.linear) {
      y.store(y.buffer, y.data + position * y.item, 1, n);
    } else if (ptr[0] == y.buffer) {
      for (int64_t done = 0; done < n;) {
        const int64_t row = std::min(out.row_left(), n - done);
        y.store(y.buffer + done * y.width, y.data + out.offset[0] * y.item, plan.strides[0][last], row);
        out.advance(row);
        done += row;
      }
    }
    position += n;
  }
  return flag;
}

// The dimension along which operand k is contiguous when that is not the output's innermost one, else -1.
int transposed_dimension(const Plan& plan, int k) {
  const int last = plan.ndim - 1;
  if (plan.strides[k][last] < 2) return -1;
  for (int d = 0; d < last; ++d)
    if (plan.strides[k][d] == 1 && plan.sizes[d] >= 8) return d;
  return -1;
}

// Panels over the output's innermost dimension and `fast`, along which the transposed operands are
// contiguous: those are turned a panel at a time, so that every cache line of theirs is read once.
bool run_panels(ElementFn fn, const Plan& plan, const Operand* proto, int fast, const ElementParams& p,
                int64_t grain) {
  const int last = plan.ndim - 1, count = plan.operands;
  bool turned[kMaxOperands];
  int64_t R = kPanelLine;
  for (int k = 0; k < count; ++k) {
    turned[k] = k > 0 && proto[k].data && proto[k].native && transposed_dimension(plan, k) == fast;
    if (turned[k]) R = std::min(R, kPanelLine / proto[k].item);
  }
  const int64_t rows = plan.sizes[fast], cols = plan.sizes[last], C = kPanelColumns;
  const int64_t row_panels = (rows + R - 1) / R, col_panels = (cols + C - 1) / C;
  const int64_t panels = plan.numel / (rows * cols) * row_panels * col_panels;
  std::atomic<bool> flag{false};
  parallel_for(panels, std::max<int64_t>(1, grain / (R * C)), [&](int64_t begin, int64_t end) {
    alignas(64) char panel[kMaxOperands - 1][kPanelLine * kPanelColumns];
    alignas(64) char line[kMaxOperands][kPanelColumns * 8];
    bool any = false;
    for (int64_t at = begin; at < end; ++at) {
      const int64_t c = at % col_panels * C, r = at / col_panels % row_panels * R;
      const int64_t nr = std::min(R, rows - r), nc = std::min(C, cols - c);
      int64_t base[kMaxOperands], rest = at / col_panels / row_panels;
      for (int k = 0; k < count; ++k) base[k] = r * plan.strides[k][fast] + c * plan.strides[k][last];
      for (int d = last - 1; d >= 0; --d) {
        if (d == fast) continue;
        for (int k = 0; k < count; ++k) base[k] += rest % plan.sizes[d] * plan.strides[k][d];
        rest /= plan.sizes[d];
      }
      for (int k = 1; k < count; ++k)
        if (turned[k])
          turn_panel(proto[k].item, proto[k].data + base[k] * proto[k].item, plan.strides[k][last],
                     panel[k - 1], C, nr, nc);
      for (int64_t i = 0; i < nr; ++i) {
        void* ptr[kMaxOperands];
        for (int k = 0; k < count; ++k) {
          const Operand& o = proto[k];
          char* source = o.data + (base[k] + i * plan.strides[k][fast]) * o.item;
          if (!o.data) {
            ptr[k] = nullptr;
          } else if (turned[k]) {
            ptr[k] = panel[k - 1] + i * C * o.item;
          } else if (o.native && plan.strides[k][last] == 1) {
            ptr[k] = source;
          } else {
            ptr[k] = line[k];
            if (k > 0) o.load(source, plan.strides[k][last], line[k], nc);
          }
        }
        any |= fn(ptr, nc, p);
        if (ptr[0] == line[0])
          proto[0].store(line[0], proto[0].data + (base[0] + i * plan.strides[0][fast]) * proto[0].item,
                         plan.strides[0][last], nc);
      }
    }
    if (any) flag.store(true, std::memory_order_relaxed);
  });
  return flag.load();
}

int64_t kind_width(Kind k) {
  switch (k) {
    case Kind::F32:
    case Kind::W4:
      return 4;
    case Kind::W1:
      return 1;
    case Kind::W2:
      return 2;
    default:
      return 8;
  }
}

bool run_general(ElementFn fn, const View* const* views, const Kind* kinds, int count, const ElementParams& p,
                 int64_t grain) {
  const Plan plan(views, count);
  Operand proto[kMaxOperands];
  bool direct = true;
  for (int k = 0; k < count; ++k) {
    const View& v = *views[k];
    proto[k] = {static_cast<char*>(v.data),
                item_size(v.dtype),
                kind_width(kinds[k]),
                is_native(kinds[k], v.dtype),
                plan.is_linear(k),
                plan.is_constant(k),
                load_fn(kinds[k], v.dtype),
                store_fn(kinds[k], v.dtype),
                nullptr,
                0};
    direct = direct && (!v.data || (proto[k].native && proto[k].linear));
  }
  if (plan.numel >= kGrainSlow && plan.sizes[plan.ndim - 1] >= 8)
    for (int k = 1; k < count; ++k)
      if (const int fast = proto[k].native && proto[k].data ? transposed_dimension(plan, k) : -1; fast >= 0)
        return run_panels(fn, plan, proto, fast, p, grain);
  std::atomic<bool> flag{false};
  int64_t bytes = 0;
  bool streamed = direct && grain >= kGrain;  // functions take longer than their stores
  for (int k = 0; k < count; ++k) {
    if (proto[k].data) bytes += plan.numel * proto[k].item;
    streamed = streamed && (k == 0 || proto[k].data != proto[0].data);
  }
  streamed = streamed && bytes >= kStreamFrom;
  // Rows with a number of their own beside contiguous operands: blocks of several rows, the numbers spread.
  bool spread = false, others = true;
  for (int k = 0; k < count; ++k) {
    if (!proto[k].data || proto[k].constant) continue;
    const bool own = k > 0 && plan.strides[k][plan.ndim - 1] == 0;
    spread = spread || own;
    others = others && (own || proto[k].linear);
  }
  const int64_t long_row = spread && others ? kBlock / 2 : kLongRow;
  const bool rows = plan.ndim == 1 || direct || plan.sizes[plan.ndim - 1] >= long_row;
  parallel_for(plan.numel, grain, [&](int64_t begin, int64_t end) {
    if (streamed) {
      if (run_streamed(fn, count, proto, begin, end, p)) flag.store(true, std::memory_order_relaxed);
      return;
    }
    alignas(64) char buffers[kMaxOperands][kBlock * 8];
    Operand ops[kMaxOperands];
    for (int k = 0; k < count; ++k) {
      ops[k] = proto[k];
      ops[k].buffer = buffers[k];
    }
    if (rows ? run_rows(fn, plan, ops, begin, end, p) : run_gathered(fn, plan, ops, begin, end, p))
      flag.store(true, std::memory_order_relaxed);
  });
  return flag.load();
}

}  // namespace

bool run(ElementFn fn, const View* const* views, const Kind* kinds, int count, const ElementParams& p,
         int64_t grain) {
  const int64_t n = views[0]->numel();
  if (n == 0) return false;
  // Shortcut for one chunk of contiguous operands of the kernel's own types, and single numbers spread over a
  // buffer.
  if (n <= grain) {
    constexpr int64_t kSmall = 256;
    alignas(64) char constants[kMaxOperands][kSmall * 8];
    void* ptr[kMaxOperands];
    bool direct = true;
    for (int k = 0; direct && k < count; ++k) {
      const View& v = *views[k];
      ptr[k] = v.data;
      if (!v.data || (is_native(kinds[k], v.dtype) && v.is_contiguous())) continue;
      direct = k > 0 && n <= kSmall;
      for (int d = 0; direct && d < v.ndim; ++d) direct = v.strides[d] == 0 || v.sizes[d] == 1;
      if (direct) load_fn(kinds[k], v.dtype)(v.data, 0, ptr[k] = constants[k], n);
    }
    if (direct) return fn(ptr, n, p);
  }
  return run_general(fn, views, kinds, count, p, grain);
}

}  // namespace blocks
}  // namespace ccdl::cpu
