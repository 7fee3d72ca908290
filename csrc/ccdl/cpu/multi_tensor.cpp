// List passes: norms take one double per piece, joined serially in order; the rest is independent per piece.
#include <atomic>
#include <cmath>
#include <limits>

#include <ccdl/cpu/float_index.h>
#include <ccdl/cpu/item_pieces.h>
#include <ccdl/cpu/simd/multi_tensor.h>
#include <ccdl/cpu/simd/reduce.h>
#include <ccdl/kernels/multi_tensor.h>

namespace ccdl::cpu {
namespace {

RedElem element_of(DType t) {
  return t == DType::Float64   ? kElemF64
         : t == DType::Float32 ? kElemF32
         : t == DType::Float16 ? kElemF16
                               : kElemBF16;
}

// Joins n elements into *total; half formats go through float where the kernel has no form for them.
void gather(RedKernel kernel, DType dtype, const void* x, int64_t n, double p, double* total) {
  const ReduceKernels& simd = simd_reduce();
  const auto& row = simd.row[static_cast<int>(kernel)];
  if (const auto direct = row[element_of(dtype)]) return direct(x, n, &p, total);
  constexpr int64_t kBlock = 2048;
  float block[kBlock];
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t m = n - i < kBlock ? n - i : kBlock;
    simd.pack(dtype, element(const_cast<void*>(x), dtype, i), 1, m, block);
    row[kElemF32](block, m, &p, total);
  }
}

RedKernel kernel_of(double p) {
  if (std::isinf(p)) return RedKernel::MaxAbs;
  return p == 1 ? RedKernel::SumAbs : p == 2 ? RedKernel::SumSq : RedKernel::SumPow;
}

}  // namespace

int64_t multi_tensor_norm_workspace_bytes(const ListItem* items, int64_t count) {
  return piece_count(items, count) * static_cast<int64_t>(sizeof(double));
}

void multi_tensor_norm(const ListItem* items, int64_t count, double p, const View& y, void* workspace) {
  double* partial = static_cast<double*>(workspace);
  const RedKernel kernel = kernel_of(p);
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t piece) {
    partial[piece] = 0;
    gather(kernel, items[i].dtype, element(items[i].data, items[i].dtype, start), n, p, &partial[piece]);
  });
  const int64_t pieces = piece_count(items, count);
  double total = 0;
  for (int64_t k = 0; k < pieces; ++k) {
    if (kernel != RedKernel::MaxAbs)
      total += partial[k];
    else if (!(partial[k] <= total) && !std::isnan(total))
      total = partial[k];
  }
  if (kernel == RedKernel::SumSq) total = std::sqrt(total);
  if (kernel == RedKernel::SumPow) total = std::pow(total, 1.0 / p);
  write_float(y, 0, total);
}

void multi_tensor_clip(const ListItem* items, int64_t count, const View& norm, double max_norm) {
  const double quotient = max_norm / (read_float(norm, 0) + 1e-6);
  const double factor = quotient > 1 ? 1 : quotient;
  if (factor == 1) return;
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t) {
    const ListItem& item = items[i];
    simd_multi_tensor().scale[float_index(item.dtype)](element(item.data, item.dtype, start), n, factor);
  });
}

void multi_tensor_clamp(const ListItem* items, int64_t count, double limit) {
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t) {
    const ListItem& item = items[i];
    simd_multi_tensor().clamp[float_index(item.dtype)](element(item.data, item.dtype, start), n, limit);
  });
}

void amp_unscale(const ListItem* items, int64_t count, const View& inv_scale, const View& found_inf) {
  const double factor = *inv_scale.ptr<const float>();
  std::atomic<bool> finite{true};
  for_pieces(items, count, [&](int64_t i, int64_t start, int64_t n, int64_t) {
    const ListItem& item = items[i];
    if (!simd_multi_tensor().unscale[float_index(item.dtype)](element(item.data, item.dtype, start), n,
                                                              factor))
      finite.store(false, std::memory_order_relaxed);
  });
  if (!finite) *found_inf.ptr<float>() = 1;
}

void amp_update_scale(const View& scale, const View& growth_tracker, const View& found_inf,
                      const ScaleRule& rule) {
  float& s = *scale.ptr<float>();
  int32_t& tracker = *growth_tracker.ptr<int32_t>();
  if (*found_inf.ptr<const float>() != 0) {
    s = static_cast<float>(s * rule.backoff_factor);
    tracker = 0;
  } else if (++tracker == rule.growth_interval) {
    const float grown = static_cast<float>(s * rule.growth_factor);
    if (std::isfinite(grown)) s = grown;
    tracker = 0;
  }
}

}  // namespace ccdl::cpu
