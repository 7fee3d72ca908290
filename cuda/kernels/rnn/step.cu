// Recurrent layers step by step: per step the product with the recurrent weights by cu::gemm and one
// pointwise kernel; a projection or the reset gate before the product adds one of each. hn, cn and (backward)
// the gradients of h and c serve as running state, so that packed rows need no gathering. Bound: launches for
// small layers; else reading W_hh, G H R s bytes, once per step out of L2.
#include <ccdl/kernels/gemm.h>

#include <runtime/launch.h>

#include <kernels/rnn/problem.cuh>
#include <kernels/row_bricks.cuh>

namespace ccdl::cu {
namespace {

constexpr int kThreads = 128;
constexpr int64_t kMostRows = 1 << 14;  // rows of the grid; a thread takes more than one beyond

// One thread per (row, column).
LaunchConfig over(int64_t rows, int64_t columns) {
  const int threads = static_cast<int>(least<int64_t>(kThreads, ceil_div<int64_t>(columns, kWarp) * kWarp));
  return LaunchConfig{dim3(static_cast<unsigned>(ceil_div<int64_t>(columns, threads)),
                           static_cast<unsigned>(least(rows, kMostRows))),
                      dim3(static_cast<unsigned>(threads))};
}
CCDL_DEVICE int64_t my_column() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

// Where a step's rows are. before: the first row of the previous state's step; rows from before_rows on start
// from the initial state.
struct Place {
  int64_t row, rows, before, before_rows;
  CCDL_DEVICE int64_t before_row(int64_t b) const { return b < before_rows ? before + b : -1; }
};

// to [rows, columns] = from, or 0 where from is null
template <class From, class To>
__global__ void __launch_bounds__(kThreads)
    rnn_copy_kernel(const From* from, To* to, int64_t rows, int64_t columns, int64_t to_stride) {
  const int64_t u = my_column();
  if (u >= columns) return;
  for (int64_t b = blockIdx.y; b < rows; b += gridDim.y)
    to[b * to_stride + u] = from == nullptr ? To(0) : convert<To>(from[b * columns + u]);
}
template <class From, class To>
void copy(const From* from, To* to, int64_t rows, int64_t columns, int64_t to_stride) {
  CCDL_LAUNCH(over(rows, columns), (rnn_copy_kernel<From, To>), from, to, rows, columns, to_stride);
}

// Where h goes: y and hn, or (projected layers) the operand of the projection.
template <class T>
struct Outputs {
  T *y, *hn, *unprojected;
  int64_t y_stride;
  CCDL_DEVICE void store(int64_t row, int64_t b, int64_t u, int64_t hidden, Compute<T> h) const {
    const T v = convert<T>(h);
    if (unprojected != nullptr) {
      unprojected[b * hidden + u] = v;
    } else {
      y[row * y_stride + u] = v;
      hn[b * hidden + u] = v;
    }
  }
};

// product: U h' of Gru [rows, 3 H]; the other cells find it added to their gates.
template <class T, RnnCell kCell>
__global__ void __launch_bounds__(kThreads)
    rnn_forward_step_kernel(const RnnForwardData<T> d, Place at, const T* product, Compute<T>* c,
                            Outputs<T> out) {
  using C = Compute<T>;
  constexpr int G = kRnnGates<kCell>;
  const int64_t u = my_column();
  if (u >= d.hidden) return;
  for (int64_t b = blockIdx.y; b < at.rows; b += gridDim.y) {
    RnnForwardItem<T, kCell> item;
    item.load(d, at.row + b, u);
    C u_h[G] = {}, state = 0;
    if constexpr (kCell == RnnCell::Gru) {
      state = convert<C>(out.hn[b * d.hidden + u]);
#pragma unroll
      for (int g = 0; g < G; ++g) u_h[g] = convert<C>(product[(b * G + g) * d.hidden + u]);
    } else if constexpr (kCell == RnnCell::Lstm) {
      state = c[b * d.hidden + u];
    }
    const C h = item.run(d, u_h, state, at.row + b, b, u, true);
    if constexpr (kCell == RnnCell::Lstm) c[b * d.hidden + u] = state;
    out.store(at.row + b, b, u, d.hidden, h);
  }
}

// GruBefore. First the gates r and z and r h'; then, with U_n (r h') added to its gate, n and h.
template <class T>
__global__ void __launch_bounds__(kThreads)
    rnn_reset_forward_kernel(const RnnForwardData<T> d, Place at, T* reset, Outputs<T> out, bool second) {
  using C = Compute<T>;
  const int64_t u = my_column(), n_at = 2 * d.hidden;
  if (u >= d.hidden) return;
  for (int64_t b = blockIdx.y; b < at.rows; b += gridDim.y) {
    T* gates = d.gates + (at.row + b) * 3 * d.hidden + u;
    const C h = convert<C>(out.hn[b * d.hidden + u]);
    if (!second) {
      const C r = rnn_sigmoid(convert<C>(gates[0]) + value_or_zero(d.b_hh, u));
      gates[0] = convert<T>(r);
      gates[d.hidden] =
          convert<T>(rnn_sigmoid(convert<C>(gates[d.hidden]) + value_or_zero(d.b_hh, d.hidden + u)));
      reset[b * d.hidden + u] = convert<T>(r * h);
    } else {
      const C z = convert<C>(gates[d.hidden]);
      const C n = rnn_tanh(convert<C>(gates[n_at]) + value_or_zero(d.b_hh, n_at + u));
      gates[n_at] = convert<T>(n);
      out.store(at.row + b, b, u, d.hidden, (C(1) - z) * n + z * h);
    }
  }
}

// dh: gradient of h without dy; Gru leaves there what passes beside the product. With a projection
// `projected` has all of the gradient of h before it.
template <class T, RnnCell kCell>
__global__ void __launch_bounds__(kThreads)
    rnn_backward_step_kernel(const RnnBackwardData<T> d, Place at, T* dh, const T* projected,
                             Compute<T>* dc) {
  using C = Compute<T>;
  const int64_t u = my_column();
  if (u >= d.hidden) return;
  for (int64_t b = blockIdx.y; b < at.rows; b += gridDim.y) {
    const int64_t i = b * d.hidden + u;
    RnnBackwardItem<T, kCell> item;
    item.load(d, at.row + b, at.before_row(b), b, u);
    T da[kRnnGates<kCell>];
    C state = kCell == RnnCell::Lstm ? dc[i] : C(0);
    item.run(d, convert<C>(projected != nullptr ? projected[i] : dh[i]), state, at.row + b, b, u, da);
    if constexpr (kCell == RnnCell::Lstm) dc[i] = state;
    if constexpr (kCell == RnnCell::Gru) dh[i] = convert<T>(state);
  }
}

// GruBefore. First the gradients at n and z; then, with the gradient of r h' in `reset`, that at r.
template <class T>
__global__ void __launch_bounds__(kThreads)
    rnn_reset_backward_kernel(const RnnBackwardData<T> d, Place at, T* dh, const T* reset, bool second) {
  using C = Compute<T>;
  const int64_t u = my_column(), n_at = 2 * d.hidden;
  if (u >= d.hidden) return;
  for (int64_t b = blockIdx.y; b < at.rows; b += gridDim.y) {
    const int64_t i = b * d.hidden + u, row = at.row + b, before = at.before_row(b);
    const T* gates = d.gates + row * 3 * d.hidden + u;
    T* to = d.dgates + row * 3 * d.hidden + u;
    const C h =
        before >= 0 ? convert<C>(d.y[before * d.y_stride + u]) : value_or_zero(d.h0, b * d.hidden + u);
    if (!second) {
      const C z = convert<C>(gates[d.hidden]), n = convert<C>(gates[n_at]);
      const C g = convert<C>(dh[i]) + value_or_zero(d.dy, row * d.dy_stride + u);
      to[d.hidden] = convert<T>(g * (h - n) * (z * (C(1) - z)));
      to[n_at] = convert<T>(g * (C(1) - z) * (C(1) - n * n));
      dh[i] = convert<T>(g * z);
    } else {
      const C r = convert<C>(gates[0]), g = convert<C>(reset[i]);
      to[0] = convert<T>(g * h * (r * (C(1) - r)));
      dh[i] = convert<T>(convert<C>(dh[i]) + g * r);
    }
  }
}

// dproj = dh + dy, the gradient of the projected state
template <class T>
__global__ void __launch_bounds__(kThreads)
    rnn_projected_gradient_kernel(const T* dh, const T* dy, int64_t dy_stride, T* dproj, int64_t rows,
                                  int64_t columns) {
  using C = Compute<T>;
  const int64_t u = my_column();
  if (u >= columns) return;
  for (int64_t b = blockIdx.y; b < rows; b += gridDim.y)
    dproj[b * columns + u] =
        convert<T>(convert<C>(dh[b * columns + u]) + value_or_zero(dy, b * dy_stride + u));
}

View matrix(const void* data, DType t, int64_t rows, int64_t columns, int64_t row, int64_t column) {
  View v{};
  v.data = const_cast<void*>(data);
  v.dtype = t;
  v.ndim = 3;
  v.sizes[0] = 1, v.sizes[1] = rows, v.sizes[2] = columns;
  v.strides[0] = 0, v.strides[1] = row, v.strides[2] = column;
  return v;
}

// The steps in the order of the walk, with their rows.
class Walk {
 public:
  Walk(const RnnSteps& s, bool down) : s_(s), down_(down), t_(down ? s.steps - 1 : 0) {
    for (int64_t t = 0; down && t + 1 < s.steps; ++t) row_ += s.batch_sizes[t];
  }
  bool more() const { return t_ >= 0 && t_ < s_.steps; }
  Place place() const {
    const int64_t rows = s_.batch_sizes[t_];
    if (!s_.reverse) return {row_, rows, t_ == 0 ? 0 : row_ - s_.batch_sizes[t_ - 1], t_ == 0 ? 0 : rows};
    return {row_, rows, row_ + rows, t_ + 1 == s_.steps ? 0 : s_.batch_sizes[t_ + 1]};
  }
  void next() {
    if (down_)
      row_ -= t_ > 0 ? s_.batch_sizes[t_ - 1] : 0;
    else
      row_ += s_.batch_sizes[t_];
    t_ += down_ ? -1 : 1;
  }

 private:
  const RnnSteps& s_;
  bool down_;
  int64_t t_, row_ = 0;
};

// ---- forward ----

template <class T>
struct Forward {
  using C = Compute<T>;
  const RnnSteps& steps;
  const RnnForward& f;
  const RnnForwardData<T> d;
  T* product;
  C* c;
  Outputs<T> out;
  int64_t hidden, state, gates;
  DType type;

  Forward(const RnnSteps& s, const RnnForward& v, const RnnSpace& space)
      : steps(s),
        f(v),
        d(rnn_data<T>(s, v)),
        product(static_cast<T*>(space.product)),
        c(static_cast<C*>(space.c)),
        hidden(d.hidden),
        state(v.hn.sizes[1]),
        gates(rnn_gates(s.mode)),
        type(v.gates.dtype) {
    out = {v.y.ptr<T>(), v.hn.ptr<T>(), v.w_hr.data != nullptr ? product : nullptr, v.y.strides[0]};
  }

  View weights(int64_t from, int64_t rows) const {  // transposed
    return matrix(f.w_hh.ptr<const T>() + from * state, type, state, rows, 1, state);
  }
  View gates_of(const Place& at, int64_t from, int64_t columns) const {
    return matrix(d.gates + at.row * gates * hidden + from, type, at.rows, columns, gates * hidden, 1);
  }
  View h(const Place& at) const { return matrix(f.hn.data, type, at.rows, state, state, 1); }

  template <RnnCell kCell>
  void pointwise(const Place& at) const {
    CCDL_LAUNCH(over(at.rows, hidden), (rnn_forward_step_kernel<T, kCell>), d, at, product, c, out);
  }
  void reset_before(const Place& at) const {
    gemm(h(at), weights(0, 2 * hidden), gates_of(at, 0, 2 * hidden), 1, 1, {});
    CCDL_LAUNCH(over(at.rows, hidden), rnn_reset_forward_kernel<T>, d, at, product, out, false);
    gemm(matrix(product, type, at.rows, hidden, hidden, 1), weights(2 * hidden, hidden),
         gates_of(at, 2 * hidden, hidden), 1, 1, {});
    CCDL_LAUNCH(over(at.rows, hidden), rnn_reset_forward_kernel<T>, d, at, product, out, true);
  }
  void project(const Place& at) const {
    gemm(matrix(product, type, at.rows, hidden, hidden, 1),
         matrix(f.w_hr.data, type, hidden, state, 1, hidden), h(at), 1, 0, {});
    copy<T, T>(out.hn, out.y + at.row * out.y_stride, at.rows, state, out.y_stride);
  }
  void run() const {
    const int64_t batch = steps.batch_sizes[0];
    copy<T, T>(f.h0.ptr<const T>(), f.hn.ptr<T>(), batch, state, state);
    if (rnn_has_cell(steps.mode)) copy<T, C>(f.c0.ptr<const T>(), c, batch, hidden, hidden);
    for (Walk walk(steps, steps.reverse); walk.more(); walk.next()) {
      const Place at = walk.place();
      if (steps.mode == RnnMode::GruBefore) {
        reset_before(at);
      } else if (steps.mode == RnnMode::Gru) {
        gemm(h(at), weights(0, 3 * hidden), matrix(product, type, at.rows, 3 * hidden, 3 * hidden, 1), 1, 0,
             {});
        pointwise<RnnCell::Gru>(at);
      } else {
        gemm(h(at), weights(0, gates * hidden), gates_of(at, 0, gates * hidden), 1, 1, {});
        rnn_has_cell(steps.mode) ? pointwise<RnnCell::Lstm>(at) : pointwise<RnnCell::Simple>(at);
      }
      if (f.w_hr.data != nullptr) project(at);
    }
  }
};

// ---- backward ----

template <class T>
struct Backward {
  using C = Compute<T>;
  const RnnSteps& steps;
  const RnnBackward& g;
  RnnBackwardData<T> d;
  T *product, *dh;
  C* dc;
  int64_t hidden, state, gates;
  DType type;

  Backward(const RnnSteps& s, const RnnBackward& v, const RnnSpace& space)
      : steps(s),
        g(v),
        d(rnn_data<T>(s, v, space)),
        product(static_cast<T*>(space.product)),
        dh(v.dh0.data != nullptr ? v.dh0.ptr<T>() : static_cast<T*>(space.dh)),
        dc(static_cast<C*>(space.c)),
        hidden(d.hidden),
        state(v.y.sizes[1]),
        gates(rnn_gates(s.mode)),
        type(v.gates.dtype) {
    if (v.w_hr.data != nullptr) d.dy = nullptr;  // it is in `product`
  }

  View weights(int64_t from, int64_t rows) const {
    return matrix(g.w_hh.ptr<const T>() + from * state, type, rows, state, state, 1);
  }
  View gates_of(const T* base, const Place& at, int64_t from, int64_t columns) const {
    return matrix(base + at.row * gates * hidden + from, type, at.rows, columns, gates * hidden, 1);
  }
  View dh_of(const Place& at) const { return matrix(dh, type, at.rows, state, state, 1); }
  View product_of(const Place& at) const { return matrix(product, type, at.rows, hidden, hidden, 1); }

  template <RnnCell kCell>
  void pointwise(const Place& at) const {
    CCDL_LAUNCH(over(at.rows, hidden), (rnn_backward_step_kernel<T, kCell>), d, at, dh,
                g.w_hr.data != nullptr ? product : nullptr, dc);
  }
  void project(const Place& at) const {
    T* dproj = g.dproj.ptr<T>() + at.row * state;
    const T* dy = g.dy.data == nullptr ? nullptr : g.dy.ptr<const T>() + at.row * g.dy.strides[0];
    CCDL_LAUNCH(over(at.rows, state), rnn_projected_gradient_kernel<T>, dh, dy, g.dy.strides[0], dproj,
                at.rows, state);
    gemm(matrix(dproj, type, at.rows, state, state, 1), matrix(g.w_hr.data, type, state, hidden, hidden, 1),
         product_of(at), 1, 0, {});
  }
  void reset_before(const Place& at) const {
    CCDL_LAUNCH(over(at.rows, hidden), rnn_reset_backward_kernel<T>, d, at, dh, product, false);
    gemm(gates_of(d.dgates, at, 2 * hidden, hidden), weights(2 * hidden, hidden), product_of(at), 1, 0, {});
    CCDL_LAUNCH(over(at.rows, hidden), rnn_reset_backward_kernel<T>, d, at, dh, product, true);
    gemm(gates_of(d.dgates, at, 0, 2 * hidden), weights(0, 2 * hidden), dh_of(at), 1, 1, {});
  }
  void run() const {
    const int64_t batch = steps.batch_sizes[0];
    copy<T, T>(g.dhn.ptr<const T>(), dh, batch, state, state);
    if (rnn_has_cell(steps.mode)) copy<T, C>(g.dcn.ptr<const T>(), dc, batch, hidden, hidden);
    for (Walk walk(steps, !steps.reverse); walk.more(); walk.next()) {
      const Place at = walk.place();
      if (g.w_hr.data != nullptr) project(at);
      if (steps.mode == RnnMode::GruBefore) {
        reset_before(at);
      } else if (steps.mode == RnnMode::Gru) {
        pointwise<RnnCell::Gru>(at);
        gemm(gates_of(d.dgates_h, at, 0, 3 * hidden), weights(0, 3 * hidden), dh_of(at), 1, 1, {});
      } else {
        rnn_has_cell(steps.mode) ? pointwise<RnnCell::Lstm>(at) : pointwise<RnnCell::Simple>(at);
        gemm(gates_of(d.dgates, at, 0, gates * hidden), weights(0, gates * hidden), dh_of(at), 1, 0, {});
      }
    }
    if (rnn_has_cell(steps.mode) && g.dc0.data != nullptr)
      copy<C, T>(dc, g.dc0.ptr<T>(), batch, hidden, hidden);
  }
};

}  // namespace

void rnn_forward_by_steps(const RnnSteps& steps, const RnnForward& f, const RnnSpace& space) {
  by_float(f.gates.dtype, [&](auto tag) { Forward<decltype(tag)>(steps, f, space).run(); });
}
void rnn_backward_by_steps(const RnnSteps& steps, const RnnBackward& b, const RnnSpace& space) {
  by_float(b.gates.dtype, [&](auto tag) { Backward<decltype(tag)>(steps, b, space).run(); });
}

}  // namespace ccdl::cu
