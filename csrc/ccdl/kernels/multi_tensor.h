// Passes over a list of tensors in one go: the norm of all elements, scaling by a factor that lives on the
// device, clamping, and what mixed precision does to gradients. An item is n elements in memory order, any
// floating dtype; no two items of a list share memory. 0-d views (norm, scales, flags) lie on the items'
// device and are read and written there.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

struct ListItem {
  void* data;
  int64_t n;
  DType dtype;
};

struct ScaleRule {
  double growth_factor, backoff_factor;
  int64_t growth_interval;
};

}  // namespace ccdl

#define CCDL_MULTI_TENSOR_CONTRACT                                                                        \
  /* y = (sum |x|^p)^(1/p) over all elements, p > 0; p = inf: the largest |x|. NaN wins. In double, over  \
     pieces whose borders depend on the sizes alone, joined in a fixed order. */                          \
  int64_t multi_tensor_norm_workspace_bytes(const ListItem* items, int64_t count);                        \
  void multi_tensor_norm(const ListItem* items, int64_t count, double p, const View& y, void* workspace); \
  /* x *= min(1, max_norm / (norm + 1e-6)), NaN where norm is */                                          \
  void multi_tensor_clip(const ListItem* items, int64_t count, const View& norm, double max_norm);        \
  /* x = min(max(x, -limit), limit), NaN stays */                                                         \
  void multi_tensor_clamp(const ListItem* items, int64_t count, double limit);                            \
  /* found_inf = 1 where an element is infinite or NaN, else unchanged; x *= inv_scale. Both float32. */  \
  void amp_unscale(const ListItem* items, int64_t count, const View& inv_scale, const View& found_inf);   \
  /* found_inf: scale *= backoff, tracker = 0. Else ++tracker; at the interval: tracker = 0, and scale *= \
     growth where that stays finite. scale and found_inf float32, growth_tracker int32. */                \
  void amp_update_scale(const View& scale, const View& growth_tracker, const View& found_inf,             \
                        const ScaleRule& rule);

namespace ccdl::cpu {
CCDL_MULTI_TENSOR_CONTRACT
}
namespace ccdl::cu {
CCDL_MULTI_TENSOR_CONTRACT
}
#undef CCDL_MULTI_TENSOR_CONTRACT
