// Recurrent layers on the CPU, float and double. The recurrent weights are packed once per call. While they
// fit into a second-level cache, the batch is cut into chunks of a few sequences and a chunk walks through
// time alone: its states stay in the first-level cache and nothing waits for another thread. Larger weights,
// and batches too small to cut, go step by step: all rows together, the columns of the weights shared out, so
// that every part of them is read once per step. Per step one product with the packed weights (the
// micro-kernels of the matrix product), then all gate arithmetic in one pass.
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/cpu/simd/rnn.h>
#include <ccdl/kernels/rnn.h>

#include <algorithm>

namespace ccdl::cpu {
namespace {

constexpr int64_t kRows = 8;                       // sequences of a chunk: one row tile of the product
constexpr int64_t kCacheBytes = int64_t{1} << 20;  // of weights that every thread may keep for itself
constexpr int64_t kSlabWork = int64_t{1} << 28;    // multiply-adds between two chances to be interrupted
constexpr int64_t kBlockWork = int64_t{1} << 18;   // multiply-adds of a column block shared out
constexpr int64_t kRowWork = 4096;                 // units of gate arithmetic shared out
constexpr int64_t kFewRows = 4, kFewSteps = 4;     // up to these packing costs more than it gives

// The right operand [k, n] of the products of all steps: element (i, j) at w[i * w_k + j * w_column], one of
// the strides 1.
template <class T>
class Weights {
 public:
  Weights(const T* w, int64_t w_k, int64_t w_column, int64_t k, int64_t n, bool packed, bool shared)
      : w_(w),
        w_k_(w_k),
        w_column_(w_column),
        k_(k),
        n_(n),
        shared_(shared),
        panels_(packed ? k * ((n + width() - 1) / width()) * width() : 0) {
    if (!packed || n == 0) return;
    const int64_t count = (n + width() - 1) / width();
    parallel_for(count, std::max<int64_t>(1, 65536 / std::max<int64_t>(1, k * width())),
                 [&](int64_t begin, int64_t end) {
                   const int64_t first = begin * width();
                   gemm_kernels<T>().pack_b(panels_ + begin * width() * k, w + first * w_column, w_k,
                                            w_column, k, std::min(n, end * width()) - first);
                 });
  }
  // c [m, n] = a [m, k] times this + beta c + bias per column
  void times(const T* a, int64_t a_row, int64_t m, T* c, int64_t c_row, T beta,
             const T* bias = nullptr) const {
    const GemmPost<T> post{T(1), beta, nullptr, bias, false};
    if (!shared_) return columns(a, a_row, m, 0, n_, c, c_row, post);
    const int64_t worth = kBlockWork / std::max<int64_t>(1, m * k_);
    const int64_t block = std::max<int64_t>(1, (worth + width() - 1) / width()) * width();
    parallel_for(n_, block, [&](int64_t begin, int64_t end) {
      GemmPost<T> own = post;
      if (bias != nullptr) own.bias_column = bias + begin;
      columns(a, a_row, m, begin, end - begin, c + begin, c_row, own);
    });
  }

 private:
  static int64_t width() { return gemm_kernels<T>().nr; }

  // Columns [first, first + n), first a multiple of width(); c points at the first one.
  void columns(const T* a, int64_t a_row, int64_t m, int64_t first, int64_t n, T* c, int64_t c_row,
               const GemmPost<T>& post) const {
    const GemmTypeKernels<T>& kernels = gemm_kernels<T>();
    if (panels_.get() != nullptr) {
      kernels.block(
          {a, a_row, a_row, 1, false, panels_ + first * k_, width() * k_, width(), c, c_row, m, n, k_, post});
    } else if (w_k_ == 1) {
      kernels.dots({a, w_ + first * w_column_, a_row, w_column_, c, c_row, 1, m, n, k_, post});
    } else {
      Buffer<T> sums(m * n);
      std::fill_n(sums.get(), m * n, T(0));
      kernels.streams(sums, a, a_row, 1, w_ + first, w_k_, m, n, k_);
      kernels.finish(sums, n, c, c_row, m, n, post);
    }
  }

  const T* w_;
  int64_t w_k_, w_column_, k_, n_;
  bool shared_;
  Buffer<T> panels_;
};

template <class T>
const T* row_or_null(const View& v, int64_t row) {
  return v.data == nullptr ? nullptr : v.ptr<T>() + row * v.strides[0];
}

template <class T>
T* moved(T* p, int64_t by) {  // absent stays absent
  return p == nullptr ? nullptr : p + by;
}

// Fills [rows, width] with v, or with zeros where v is absent.
template <class T>
void load(const View& v, int64_t rows, int64_t width, T* out) {
  if (v.data == nullptr)
    std::fill_n(out, rows * width, T(0));
  else
    std::copy_n(v.ptr<T>(), rows * width, out);
}
template <class T>
void store(const T* in, int64_t count, const View& v) {
  if (v.data != nullptr) std::copy_n(in, count, v.ptr<T>());
}

// What both directions of the walk share.
struct Walk {
  Walk(const RnnSteps& s, int64_t weight_bytes)
      : steps(s),
        batch(s.batch_sizes[0]),
        together(batch <= kRows || weight_bytes > kCacheBytes),
        packed(batch > kFewRows || s.steps > kFewSteps),
        offsets(s.steps) {
    for (int64_t t = 0, at = 0; t < s.steps; at += s.batch_sizes[t++]) offsets[t] = at;
    const int64_t chunks = together ? 1 : (batch + kRows - 1) / kRows;
    chunk_rows = (batch + chunks - 1) / chunks;
  }
  // Rows of step t that belong to the chunk beginning at sequence `first`.
  int64_t live(int64_t t, int64_t first) const {
    return std::clamp<int64_t>(steps.batch_sizes[t] - first, 0, std::min(chunk_rows, batch - first));
  }
  // The neighbouring step whose states step t starts from, or -1.
  int64_t before(int64_t t) const {
    if (!steps.reverse) return t - 1;
    return t + 1 < steps.steps ? t + 1 : -1;
  }
  // fn(first sequence, step) for all chunks, steps in the order of time or (backward) against it.
  template <class F>
  void run(bool backward, int64_t step_work, const F& fn) const {
    const bool descending = steps.reverse != backward;
    const int64_t slab = std::max<int64_t>(1, kSlabWork / std::max<int64_t>(1, step_work * chunk_rows));
    const int64_t grain =
        std::max<int64_t>(1, (int64_t{1} << 18) / std::max<int64_t>(1, step_work * steps.steps));
    for (int64_t begin = 0; begin < steps.steps; begin += slab) {
      const int64_t end = std::min(begin + slab, steps.steps);
      parallel_for((batch + chunk_rows - 1) / chunk_rows, std::max<int64_t>(1, grain / chunk_rows),
                   [&](int64_t chunk, int64_t last) {
                     for (; chunk < last; ++chunk)
                       for (int64_t k = begin; k < end; ++k)
                         fn(chunk * chunk_rows, descending ? steps.steps - 1 - k : k);
                   });
      if (end < steps.steps) check_interrupt();
    }
  }

  // fn(row) for the m rows of a chunk.
  template <class F>
  void rows(int64_t m, int64_t row_work, const F& fn) const {
    const int64_t grain = !together ? m : std::max<int64_t>(1, kRowWork / row_work / kRows) * kRows;
    parallel_for(m, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) fn(i);
    });
  }
  // Rows that one thread at a time works on have one place for their sums.
  int64_t places() const { return (batch + kRows - 1) / kRows; }
  int64_t place(int64_t first, int64_t i) const { return together ? i / kRows : first / chunk_rows; }

  const RnnSteps& steps;
  int64_t batch;
  bool together, packed;  // all rows of a step at once; weights are packed
  int64_t chunk_rows;
  Buffer<int64_t> offsets;
};

template <class T>
void forward(const RnnSteps& steps, const RnnForward& f) {
  const int64_t g = f.gates.sizes[1], h = g / rnn_gates(steps.mode), r = f.y.sizes[1];
  const Walk walk(steps, g * r * static_cast<int64_t>(sizeof(T)));
  const int64_t batch = walk.batch;
  const bool gru = steps.mode == RnnMode::Gru, before = steps.mode == RnnMode::GruBefore,
             projected = f.w_hr.data != nullptr, cell = rnn_has_cell(steps.mode);
  // The weights as right operands: W_hh^T, its candidate rows alone for GruBefore, and W_hr^T.
  const int64_t own = before ? 2 * h : g;
  const T* w = f.w_hh.ptr<T>();
  const bool pack = walk.packed, share = walk.together;
  const Weights<T> w_hh(w, 1, r, r, own, pack, share), w_n(w + own * r, 1, r, r, g - own, pack, share),
      w_hr(f.w_hr.ptr<T>(), 1, h, h, projected ? r : 0, pack, share);
  Buffer<T> hs(batch * r), cs(cell ? batch * h : 0), recurrent(gru ? batch * g : 0),
      wide(projected || before ? batch * h : 0);
  load(f.h0, batch, r, hs.get());
  if (cell) load(f.c0, batch, h, cs.get());
  const auto& kernels = rnn_kernels<T>();
  const auto forward_row = kernels.forward[static_cast<int>(steps.mode)];
  const T* bias = f.b_hh.ptr<T>();
  walk.run(false, g * r, [&](int64_t first, int64_t t) {
    const int64_t m = walk.live(t, first), at = walk.offsets[t] + first;
    if (m == 0) return;
    T *gates = f.gates.ptr<T>() + at * g, *state = hs + first * r, *rec = moved(recurrent.get(), first * g),
      *inner = moved(wide.get(), first * h), *y = f.y.ptr<T>() + at * f.y.strides[0];
    if (gru)
      w_hh.times(state, r, m, rec, g, T(0), bias);
    else
      w_hh.times(state, r, m, gates, g, T(1), bias);
    const auto row = [&](int64_t i) {
      RnnRow<T> p{};
      p.hidden = p.n = h;
      p.gates = gates + i * g;
      p.recurrent = moved(rec, i * g);
      p.peephole = f.peephole.ptr<T>();
      p.h_before = state + i * r;
      p.h = projected ? inner + i * h : state + i * r;
      p.y = projected ? nullptr : y + i * f.y.strides[0];
      p.c = moved(cs.get(), (first + i) * h);
      p.c_before = p.c;
      p.cells = const_cast<T*>(row_or_null<T>(f.cells, at + i));
      p.extra = const_cast<T*>(row_or_null<T>(f.extra, at + i));
      p.reset = moved(inner, i * h);
      return p;
    };
    walk.rows(m, h, [&](int64_t i) { forward_row(row(i)); });
    if (before) {
      w_n.times(inner, h, m, gates + 2 * h, g, T(1), bias == nullptr ? nullptr : bias + 2 * h);
      walk.rows(m, h, [&](int64_t i) { kernels.candidate(row(i)); });
    }
    if (projected) {
      w_hr.times(inner, h, m, state, r, T(0));
      for (int64_t i = 0; i < m; ++i) std::copy_n(state + i * r, r, y + i * f.y.strides[0]);
    }
  });
  store(hs.get(), batch * r, f.hn);
  if (cell) store(cs.get(), batch * h, f.cn);
}

template <class T>
void backward(const RnnSteps& steps, const RnnBackward& b) {
  const int64_t g = b.gates.sizes[1], h = g / rnn_gates(steps.mode), r = b.y.sizes[1];
  const Walk walk(steps, g * r * static_cast<int64_t>(sizeof(T)));
  const int64_t batch = walk.batch;
  const bool gru = steps.mode == RnnMode::Gru, before = steps.mode == RnnMode::GruBefore,
             projected = b.w_hr.data != nullptr, cell = rnn_has_cell(steps.mode);
  const int64_t own = before ? 2 * h : g;
  const T* w = b.w_hh.ptr<T>();
  const bool pack = walk.packed, share = walk.together;
  const Weights<T> w_hh(w, r, 1, own, r, pack, share),
      w_n(w + own * r, r, 1, g - own, before ? r : 0, pack, share),
      w_hr(b.w_hr.ptr<T>(), h, 1, projected ? r : 0, projected ? h : 0, pack, share);
  // dh holds the gradient of every sequence's state at the walk's position, its last state's to begin with.
  Buffer<T> dh(batch * r), dc(cell ? batch * h : 0), wide(projected || before ? batch * h : 0),
      zero(std::max(h, r));
  std::fill_n(zero.get(), std::max(h, r), T(0));
  load(b.dhn, batch, r, dh.get());
  if (cell) load(b.dcn, batch, h, dc.get());
  const int64_t places = walk.places();
  Buffer<T> peephole(b.dpeephole.data != nullptr ? places * 3 * h : 0);
  if (peephole.get() != nullptr) std::fill_n(peephole.get(), places * 3 * h, T(0));
  const auto& kernels = rnn_kernels<T>();
  const auto backward_row = kernels.backward[static_cast<int>(steps.mode)];
  walk.run(true, g * r, [&](int64_t first, int64_t t) {
    const int64_t m = walk.live(t, first), at = walk.offsets[t] + first, t_before = walk.before(t);
    if (m == 0) return;
    const int64_t m_before = t_before < 0 ? 0 : walk.live(t_before, first);
    T *state = dh + first * r, *inner = moved(wide.get(), first * h), *dgates = b.dgates.ptr<T>() + at * g,
      *dproj = moved(b.dproj.ptr<T>(), at * r);
    const auto earlier = [&](const View& all, const View& start, int64_t i) {
      if (i < m_before) return row_or_null<T>(all, walk.offsets[t_before] + first + i);
      const T* p = row_or_null<T>(start, first + i);
      return p == nullptr ? static_cast<const T*>(zero.get()) : p;
    };
    if (projected) {
      for (int64_t i = 0; i < m; ++i) {
        const T* dy = row_or_null<T>(b.dy, at + i);
        for (int64_t j = 0; j < r; ++j) dproj[i * r + j] = state[i * r + j] + (dy == nullptr ? T(0) : dy[j]);
      }
      w_hr.times(dproj, r, m, inner, h, T(0));
    }
    const auto row = [&](int64_t i) {
      RnnRowBack<T> p{};
      p.hidden = p.n = h;
      p.gates = b.gates.ptr<T>() + (at + i) * g;
      p.cells = row_or_null<T>(b.cells, at + i);
      p.extra = row_or_null<T>(b.extra, at + i);
      p.h_before = earlier(b.y, b.h0, i);
      if (cell) p.c_before = earlier(b.cells, b.c0, i);
      p.peephole = b.peephole.ptr<T>();
      p.dy = projected ? nullptr : row_or_null<T>(b.dy, at + i);
      p.dh = projected ? inner + i * h : state + i * r;
      p.dc = moved(dc.get(), (first + i) * h);
      p.dgates = dgates + i * g;
      p.dgates_h = moved(b.dgates_h.ptr<T>(), (at + i) * g);
      p.dreset = moved(inner, i * h);
      if (peephole.get() != nullptr) p.dpeephole = peephole + walk.place(first, i) * 3 * h;
      return p;
    };
    walk.rows(m, h, [&](int64_t i) { backward_row(row(i)); });
    if (before) {
      w_n.times(dgates + 2 * h, g, m, inner, h, T(0));
      walk.rows(m, h, [&](int64_t i) { kernels.reset_backward(row(i)); });
    }
    w_hh.times(gru ? b.dgates_h.ptr<T>() + at * g : dgates, g, m, state, r, gru || before ? T(1) : T(0));
  });
  store(dh.get(), batch * r, b.dh0);
  if (cell) store(dc.get(), batch * h, b.dc0);
  if (peephole.get() != nullptr)
    for (int64_t j = 0; j < 3 * h; ++j) {
      T sum = 0;
      for (int64_t c = 0; c < places; ++c) sum += peephole[c * 3 * h + j];
      b.dpeephole.ptr<T>()[j] = sum;
    }
}

}  // namespace

int64_t rnn_forward_workspace_bytes(const RnnSteps&, int64_t, int64_t, DType) { return 0; }
int64_t rnn_backward_workspace_bytes(const RnnSteps&, int64_t, int64_t, DType) { return 0; }

void rnn_forward(const RnnSteps& steps, const RnnForward& f) {
  if (f.gates.dtype == DType::Float64)
    forward<double>(steps, f);
  else
    forward<float>(steps, f);
}

void rnn_backward(const RnnSteps& steps, const RnnBackward& b) {
  if (b.gates.dtype == DType::Float64)
    backward<double>(steps, b);
  else
    backward<float>(steps, b);
}

}  // namespace ccdl::cpu
