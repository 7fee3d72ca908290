// List passes: pointers travel as kernel parameters, one launch takes up to 128 tensors of any floating
// dtypes, each block a piece of 32 KB of one of them, read (and written) once with 16-byte accesses. A norm
// leaves one double per block in the workspace; one block joins them in a fixed order. Bound: the bytes of
// the tensors.
#include <runtime/launch.h>
#include <device/block.cuh>
#include <device/vec.cuh>

#include <cmath>

#include <ccdl/kernels/multi_tensor.h>

namespace ccdl::cu {
namespace {

constexpr int kThreads = 256, kVectors = 8, kMaxItems = 128;
constexpr int64_t kPieceBytes = int64_t{kThreads} * kVectors * 16;

struct Item {
  void* data;
  int64_t n;
  int32_t first_block;
  DType dtype;
  bool aligned;
};
struct Plan {
  int count;
  Item item[kMaxItems];
};
static_assert(sizeof(Plan) <= 3584);

CCDL_DEVICE const Item& item_of_block(const Plan& plan) {
  int low = 0, high = plan.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (plan.item[middle].first_block <= static_cast<int32_t>(blockIdx.x))
      low = middle;
    else
      high = middle;
  }
  return plan.item[low];
}

// visit.template run<T, N>(pointer to N elements) over the block's piece.
template <class T, class Visit>
CCDL_DEVICE void for_typed_piece(const Item& item, Visit& visit) {
  constexpr int kN = kLanes<T>;
  constexpr int64_t kPiece = kPieceBytes / static_cast<int64_t>(sizeof(T));
  T* x = static_cast<T*>(item.data);
  const int64_t start = int64_t(static_cast<int32_t>(blockIdx.x) - item.first_block) * kPiece;
  if (item.aligned && start + kPiece <= item.n) {
#pragma unroll 4
    for (int r = 0; r < kVectors; ++r)
      visit.template run<T, kN>(x + start + (int64_t(r) * kThreads + threadIdx.x) * kN);
    return;
  }
  const int64_t end = least(start + kPiece, item.n);
#pragma unroll 1
  for (int64_t i = start + threadIdx.x; i < end; i += kThreads) visit.template run<T, 1>(x + i);
}
template <class Visit>
CCDL_DEVICE void for_piece(const Item& item, Visit& visit) {
  switch (item.dtype) {
    case DType::Float16:
      return for_typed_piece<float16>(item, visit);
    case DType::BFloat16:
      return for_typed_piece<bfloat16>(item, visit);
    case DType::Float32:
      return for_typed_piece<float>(item, visit);
    default:
      return for_typed_piece<double>(item, visit);
  }
}

enum class NormKind : int { One, Two, Power, Largest };

struct NormVisit {
  NormKind kind;
  double p, total;

  CCDL_DEVICE double join(double a, double b) const {
    return kind == NormKind::Largest ? MaxOp()(a, b) : a + b;
  }
  template <class T, int N>
  CCDL_DEVICE void run(const T* x) {
    const Vec<T, N> v = load_vec<T, N>(x);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const double a = fabs(static_cast<double>(convert<Compute<T>>(v[k])));
      if (kind == NormKind::Two)
        total = fma(a, a, total);
      else
        total = join(total, kind == NormKind::Power ? pow(a, p) : a);
    }
  }
};
struct NormJoin {
  const NormVisit& visit;
  CCDL_DEVICE double operator()(double a, double b) const { return visit.join(a, b); }
};

__global__ void __launch_bounds__(kThreads)
    norm_pieces_kernel(const __grid_constant__ Plan plan, NormKind kind, double p, double* partial) {
  NormVisit visit{kind, p, 0};
  for_piece(item_of_block(plan), visit);
  const double total = block_reduce(visit.total, NormJoin{visit}, 0.0);
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

CCDL_DEVICE double read_number(const void* p, DType dtype) {
  switch (dtype) {
    case DType::Float16:
      return convert<double>(*static_cast<const float16*>(p));
    case DType::BFloat16:
      return convert<double>(*static_cast<const bfloat16*>(p));
    case DType::Float32:
      return *static_cast<const float*>(p);
    default:
      return *static_cast<const double*>(p);
  }
}
CCDL_DEVICE void write_number(void* p, DType dtype, double v) {
  switch (dtype) {
    case DType::Float16:
      *static_cast<float16*>(p) = convert<float16>(v);
      break;
    case DType::BFloat16:
      *static_cast<bfloat16*>(p) = convert<bfloat16>(v);
      break;
    case DType::Float32:
      *static_cast<float*>(p) = static_cast<float>(v);
      break;
    default:
      *static_cast<double*>(p) = v;
  }
}

__global__ void __launch_bounds__(kThreads)
    norm_finish_kernel(const double* partial, int64_t count, NormKind kind, double p, void* y, DType dtype) {
  NormVisit visit{kind, p, 0};
  for (int64_t i = threadIdx.x; i < count; i += kThreads) visit.total = visit.join(visit.total, partial[i]);
  double total = block_reduce(visit.total, NormJoin{visit}, 0.0);
  if (threadIdx.x != 0) return;
  if (kind == NormKind::Two) total = sqrt(total);
  if (kind == NormKind::Power) total = pow(total, 1.0 / p);
  write_number(y, dtype, total);
}

struct ScaleVisit {
  double factor;
  template <class T, int N>
  CCDL_DEVICE void run(T* x) const {
    const Compute<T> f = static_cast<Compute<T>>(factor);
    Vec<T, N> v = load_vec<T, N>(x);
#pragma unroll
    for (int k = 0; k < N; ++k) v[k] = convert<T>(convert<Compute<T>>(v[k]) * f);
    store_vec<T, N>(x, v);
  }
};

__global__ void __launch_bounds__(kThreads)
    clip_kernel(const __grid_constant__ Plan plan, const void* norm, DType dtype, double max_norm) {
  const double quotient = max_norm / (read_number(norm, dtype) + 1e-6);
  ScaleVisit visit{quotient > 1 ? 1 : quotient};
  if (visit.factor == 1) return;  // the same for all blocks
  for_piece(item_of_block(plan), visit);
}

struct ClampVisit {
  double limit;
  template <class T, int N>
  CCDL_DEVICE void run(T* x) const {
    const Compute<T> high = static_cast<Compute<T>>(limit);
    Vec<T, N> v = load_vec<T, N>(x);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      Compute<T> a = convert<Compute<T>>(v[k]);
      a = a < -high ? -high : a;  // NaN stays
      v[k] = convert<T>(a > high ? high : a);
    }
    store_vec<T, N>(x, v);
  }
};

__global__ void __launch_bounds__(kThreads) clamp_kernel(const __grid_constant__ Plan plan, double limit) {
  ClampVisit visit{limit};
  for_piece(item_of_block(plan), visit);
}

struct UnscaleVisit {
  float factor;
  bool finite;
  template <class T, int N>
  CCDL_DEVICE void run(T* x) {
    Vec<T, N> v = load_vec<T, N>(x);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const Compute<T> a = convert<Compute<T>>(v[k]);
      finite = finite && a - a == 0;
      v[k] = convert<T>(a * static_cast<Compute<T>>(factor));
    }
    store_vec<T, N>(x, v);
  }
};

__global__ void __launch_bounds__(kThreads)
    unscale_kernel(const __grid_constant__ Plan plan, const float* inv_scale, int32_t* found_inf) {
  UnscaleVisit visit{*inv_scale, true};
  for_piece(item_of_block(plan), visit);
  const bool bad = __any_sync(kFullWarp, !visit.finite);
  // 1.0f as an integer: the order of non-negative floats is that of their bits
  if (bad && threadIdx.x % kWarp == 0) atomicMax(found_inf, int32_t{0x3f800000});
}

__global__ void update_scale_kernel(float* scale, int32_t* tracker, const float* found_inf, ScaleRule rule) {
  if (*found_inf != 0) {
    *scale = static_cast<float>(*scale * rule.backoff_factor);
    *tracker = 0;
  } else if (++*tracker == rule.growth_interval) {
    const float grown = static_cast<float>(*scale * rule.growth_factor);
    if (grown - grown == 0) *scale = grown;
    *tracker = 0;
  }
}

int64_t blocks_of(const ListItem& item) { return ceil_div(item.n * item_size(item.dtype), kPieceBytes); }

// launch(plan, blocks, blocks before) per kMaxItems items.
template <class Launch>
void for_plans(const ListItem* items, int64_t count, const Launch& launch) {
  int64_t before = 0;
  for (int64_t next = 0; next < count;) {
    Plan plan;
    plan.count = 0;
    int64_t blocks = 0;
    for (; next < count && plan.count < kMaxItems; ++next) {
      const ListItem& item = items[next];
      if (item.n == 0) continue;
      if (blocks + blocks_of(item) > INT32_MAX) break;
      plan.item[plan.count++] = {item.data, item.n, static_cast<int32_t>(blocks), item.dtype,
                                 aligned16(item.data)};
      blocks += blocks_of(item);
    }
    if (blocks > 0) launch(plan, LaunchConfig{dim3(static_cast<unsigned>(blocks)), kThreads}, before);
    before += blocks;
  }
}

NormKind kind_of(double p) {
  if (std::isinf(p)) return NormKind::Largest;
  return p == 1 ? NormKind::One : p == 2 ? NormKind::Two : NormKind::Power;
}

}  // namespace

int64_t multi_tensor_norm_workspace_bytes(const ListItem* items, int64_t count) {
  int64_t blocks = 0;
  for (int64_t i = 0; i < count; ++i) blocks += blocks_of(items[i]);
  return blocks * static_cast<int64_t>(sizeof(double));
}

void multi_tensor_norm(const ListItem* items, int64_t count, double p, const View& y, void* workspace) {
  double* partial = static_cast<double*>(workspace);
  int64_t blocks = 0;
  for_plans(items, count, [&](const Plan& plan, const LaunchConfig& c, int64_t before) {
    CCDL_LAUNCH(c, norm_pieces_kernel, plan, kind_of(p), p, partial + before);
    blocks = before + c.grid.x;
  });
  CCDL_LAUNCH((LaunchConfig{1, kThreads}), norm_finish_kernel, partial, blocks, kind_of(p), p, y.data,
              y.dtype);
}

void multi_tensor_clip(const ListItem* items, int64_t count, const View& norm, double max_norm) {
  for_plans(items, count, [&](const Plan& plan, const LaunchConfig& c, int64_t) {
    CCDL_LAUNCH(c, clip_kernel, plan, norm.data, norm.dtype, max_norm);
  });
}

void multi_tensor_clamp(const ListItem* items, int64_t count, double limit) {
  for_plans(items, count, [&](const Plan& plan, const LaunchConfig& c, int64_t) {
    CCDL_LAUNCH(c, clamp_kernel, plan, limit);
  });
}

void amp_unscale(const ListItem* items, int64_t count, const View& inv_scale, const View& found_inf) {
  for_plans(items, count, [&](const Plan& plan, const LaunchConfig& c, int64_t) {
    CCDL_LAUNCH(c, unscale_kernel, plan, inv_scale.ptr<const float>(), found_inf.ptr<int32_t>());
  });
}

void amp_update_scale(const View& scale, const View& growth_tracker, const View& found_inf,
                      const ScaleRule& rule) {
  CCDL_LAUNCH((LaunchConfig{1, 1}), update_scale_kernel, scale.ptr<float>(), growth_tracker.ptr<int32_t>(),
              found_inf.ptr<const float>(), rule);
}

}  // namespace ccdl::cu
