// Recurrent layers: the contract's functions. They choose between one launch for the whole sequence and a
// product and a pointwise kernel per step, lay out the workspace, bring the packed rows to the device as
// kernel arguments (so that a graph keeps them), and add up the peephole weights' gradient in ascending order
// of the sequences. CCDL_RNN_PATH=step, block or grid asks for one way; where it does not fit, step is taken.
#include <runtime/launch.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <kernels/rnn/problem.cuh>

namespace ccdl::cu {
namespace {

constexpr int kThreads = 256;

// ---- packed rows ----

// Steps [first, next run's first) have `batch` rows each, the first of them at `offset`.
struct Run {
  int64_t first, offset, batch;
};
struct Runs {
  static constexpr int kMost = 128;
  Run run[kMost];
  int count;
  int64_t end;  // steps beyond this belong to the next launch
};

__global__ void __launch_bounds__(kThreads) rnn_offsets_kernel(const Runs r, int64_t* offsets) {
  const int64_t t = r.run[0].first + static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (t > r.end) return;
  int i = 0;
  while (i + 1 < r.count && r.run[i + 1].first <= t) ++i;
  offsets[t] = r.run[i].offset + (t - r.run[i].first) * r.run[i].batch;
}

// ---- peephole weights ----

// out[i] = sum over b of sums[b][i]
template <class C>
__global__ void __launch_bounds__(kThreads)
    rnn_peephole_kernel(const C* sums, C* out, int64_t batch, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  C sum = 0;
  for (int64_t b = 0; b < batch; ++b) sum += sums[b * n + i];
  out[i] = sum;
}

LaunchConfig over(int64_t n) {
  return LaunchConfig{dim3(static_cast<unsigned>(ceil_div<int64_t>(n, kThreads))), dim3(kThreads)};
}

// ---- choice ----

struct Wish {
  bool step;
  RnnPath path;
};
Wish wish() {
  const char* value = std::getenv("CCDL_RNN_PATH");  // read every time: tests change it
  if (value == nullptr) return {false, RnnPath::Auto};
  if (std::strcmp(value, "step") == 0) return {true, RnnPath::Auto};
  if (std::strcmp(value, "block") == 0) return {false, RnnPath::Block};
  if (std::strcmp(value, "grid") == 0) return {false, RnnPath::Grid};
  return {false, RnnPath::Auto};
}

// Runs one(T()) for the types that persistent kernels exist for.
template <class F>
bool by_persistent_type(DType t, const F& one) {
  switch (t) {
    case DType::Float32:
      return one(float());
    case DType::Float16:
      return one(float16());
    case DType::BFloat16:
      return one(bfloat16());
    default:
      return false;
  }
}

// The reset gate before the product and projections need two exchanges per step: they run step by step.
bool one_exchange(const RnnSteps& steps, const View& w_hr) {
  return steps.mode != RnnMode::GruBefore && w_hr.data == nullptr;
}

class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  void* take(int64_t bytes) {
    char* p = base_ == nullptr ? nullptr : base_ + used_;
    used_ += ceil_div<int64_t>(bytes, 256) * 256;
    return p;
  }
  int64_t used() const { return used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

}  // namespace

RnnSpace rnn_space(const RnnSteps& steps, int64_t hidden, int64_t state, DType t, bool backward, void* base) {
  const int64_t batch = steps.steps > 0 ? steps.batch_sizes[0] : 0, gates = rnn_gates(steps.mode);
  const int64_t size = item_size(t), stat = t == DType::Float64 ? 8 : 4;
  const int64_t padded = ceil_div<int64_t>(hidden, 16) * 16 * (backward ? gates : 1);
  const int64_t lines = ceil_div<int64_t>(batch, kGridBatch) * kGridBatch;
  RnnSpace s;
  Carver carve(base);
  s.offsets = static_cast<int64_t*>(carve.take((steps.steps + 1) * 8));
  const int64_t begin = carve.used();
  s.signals = carve.take(least(batch, kMostSlices) * kCounterPitch * 4);
  s.counters = static_cast<unsigned*>(s.signals);
  s.images = carve.take(2 * lines * padded * size);
  s.signal_bytes = carve.used() - begin;
  s.c = carve.take(rnn_has_cell(steps.mode) ? batch * hidden * stat : 0);
  s.dh = carve.take(backward ? batch * state * size : 0);
  s.product = carve.take(batch * hidden * size * (steps.mode == RnnMode::Gru ? 3 : 1));
  s.sums = carve.take(backward && steps.mode == RnnMode::LstmPeephole ? batch * 3 * hidden * stat : 0);
  s.bytes = carve.used();
  return s;
}

RnnRows rnn_rows(const RnnSteps& steps, const RnnSpace& space) {
  const int64_t* sizes = steps.batch_sizes;
  RnnRows rows{nullptr, sizes[0], steps.steps, steps.reverse};
  if (sizes[steps.steps - 1] == sizes[0]) return rows;  // sizes never grow
  rows.offsets = space.offsets;
  int64_t offset = 0;
  for (int64_t t = 0; t < steps.steps;) {
    Runs r;
    for (r.count = 0; r.count < Runs::kMost && t < steps.steps; ++r.count) {
      int64_t next = t;
      while (next < steps.steps && sizes[next] == sizes[t]) ++next;
      r.run[r.count] = {t, offset, sizes[t]};
      offset += (next - t) * sizes[t];
      t = next;
    }
    r.end = t == steps.steps ? t : t - 1;  // the last launch also writes the total
    CCDL_LAUNCH(over(r.end - r.run[0].first + 1), rnn_offsets_kernel, r, space.offsets);
  }
  return rows;
}

void rnn_forward(const RnnSteps& steps, const RnnForward& f) {
  if (steps.steps == 0 || f.gates.numel() == 0) return;
  const RnnSpace space = rnn_space(steps, f.gates.sizes[1] / rnn_gates(steps.mode), f.hn.sizes[1],
                                   f.gates.dtype, false, f.workspace);
  const Wish w = wish();
  const bool done =
      !w.step && one_exchange(steps, f.w_hr) && by_persistent_type(f.gates.dtype, [&](auto tag) {
        return rnn_forward_persistent<decltype(tag)>(steps, f, space, w.path);
      });
  if (!done) rnn_forward_by_steps(steps, f, space);
}

int64_t rnn_forward_workspace_bytes(const RnnSteps& steps, int64_t hidden, int64_t state, DType t) {
  return rnn_space(steps, hidden, state, t, false, nullptr).bytes;
}

void rnn_backward(const RnnSteps& steps, const RnnBackward& b) {
  if (steps.steps == 0 || b.gates.numel() == 0) return;
  const int64_t hidden = b.gates.sizes[1] / rnn_gates(steps.mode), batch = steps.batch_sizes[0];
  const RnnSpace space = rnn_space(steps, hidden, b.y.sizes[1], b.gates.dtype, true, b.workspace);
  const int64_t stat = b.gates.dtype == DType::Float64 ? 8 : 4;
  if (b.dpeephole.data != nullptr)
    CCDL_CUDA_CHECK(
        cudaMemsetAsync(space.sums, 0, static_cast<size_t>(batch * 3 * hidden * stat), current_stream()));
  const Wish w = wish();
  const bool done =
      !w.step && one_exchange(steps, b.w_hr) && by_persistent_type(b.gates.dtype, [&](auto tag) {
        return rnn_backward_persistent<decltype(tag)>(steps, b, space, w.path);
      });
  if (!done) rnn_backward_by_steps(steps, b, space);
  if (b.dpeephole.data == nullptr) return;
  if (stat == 8)
    CCDL_LAUNCH(over(3 * hidden), rnn_peephole_kernel<double>, static_cast<const double*>(space.sums),
                b.dpeephole.ptr<double>(), batch, 3 * hidden);
  else
    CCDL_LAUNCH(over(3 * hidden), rnn_peephole_kernel<float>, static_cast<const float*>(space.sums),
                b.dpeephole.ptr<float>(), batch, 3 * hidden);
}

int64_t rnn_backward_workspace_bytes(const RnnSteps& steps, int64_t hidden, int64_t state, DType t) {
  return rnn_space(steps, hidden, state, t, true, nullptr).bytes;
}

}  // namespace ccdl::cu
