#include <ccdl/ops/multi_tensor.h>

#include <cmath>
#include <set>

#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/ops/create.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/promotion.h>

namespace ccdl::ops {
namespace {

void check_list(const char* op, const char* name, const TensorList& list) {
  for (size_t i = 0; i < list.size(); ++i) {
    CCDL_CHECK(is_floating(list[i].dtype()), DType, op, ": ", name, "[", i, "] must be floating point, got ",
               describe(list[i]));
    check_same_device(op, {{"the first tensor", &list[0]}, {"another one", &list[i]}});
  }
}

void check_number(const char* op, const char* name, const Tensor& x, DType dtype, const Tensor* beside) {
  CCDL_CHECK(x.numel() == 1 && x.dtype() == dtype, Runtime, op, ": ", name, " must be one ",
             dtype_name(dtype), " number, got ", describe(x));
  if (beside) check_same_device(op, {{"the list", beside}, {name, &x}});
}

// x or, where its elements have gaps or overlap, a copy.
Tensor gapless(const Tensor& x) { return strides_dense(x.sizes(), x.strides()) ? x : dense(x); }

// run(items) over lists without repeats that together hold every tensor as often as the given one, in its
// order; the tensors are marked as written.
template <class Run>
void in_place(const TensorList& list, const Run& run) {
  NoGradGuard no_grad;
  for (const Tensor& t : list) autograd::announce_write(t);
  TensorList rest = list;
  while (!rest.empty()) {
    std::set<const void*> seen;
    TensorList again, now;
    for (const Tensor& t : rest) (t.numel() == 0 || seen.insert(t.data()).second ? now : again).push_back(t);
    TensorList used;
    std::vector<ListItem> items;
    for (const Tensor& t : now) {
      used.push_back(gapless(t));
      items.push_back({used.back().data(), t.numel(), t.dtype()});
    }
    run(items.data(), static_cast<int64_t>(items.size()));
    for (size_t i = 0; i < now.size(); ++i) {
      if (used[i].same(now[i]))
        now[i].bump_version();
      else
        copy_(now[i], used[i]);
    }
    rest = std::move(again);
  }
}

}  // namespace

Tensor total_norm(const TensorList& tensors, double p) {
  const char* op = "total_norm";
  CCDL_CHECK(!tensors.empty(), Value, op, ": tensors is empty");
  CCDL_CHECK(p > 0, Value, op, ": the order must be positive, got ", p);
  check_list(op, "tensors", tensors);
  TensorList used;
  std::vector<ListItem> items;
  DType widest = tensors[0].dtype();
  for (const Tensor& t : tensors) {
    used.push_back(gapless(t));
    items.push_back({used.back().data(), t.numel(), t.dtype()});
    widest = promote_types(widest, t.dtype());
  }
  const Tensor& first = tensors[0];
  Tensor y = empty(Dims{}, widest, first.device());
  const int64_t count = static_cast<int64_t>(items.size());
  const int64_t bytes = CCDL_KERNEL(first, multi_tensor_norm_workspace_bytes(items.data(), count));
  Tensor workspace = empty(Dims{bytes}, DType::UInt8, first.device());
  CCDL_KERNEL(first, multi_tensor_norm(items.data(), count, p, y.view(), workspace.data()));
  return y;
}

void clip_by_norm_(const TensorList& tensors, const Tensor& total_norm, double max_norm) {
  const char* op = "clip_by_norm_";
  if (tensors.empty()) return;
  check_list(op, "tensors", tensors);
  CCDL_CHECK(total_norm.numel() == 1 && is_floating(total_norm.dtype()), Runtime, op,
             ": total_norm must be one floating-point number, got ", describe(total_norm));
  check_same_device(op, {{"tensors", &tensors[0]}, {"total_norm", &total_norm}});
  in_place(tensors, [&](const ListItem* items, int64_t n) {
    CCDL_KERNEL(total_norm, multi_tensor_clip(items, n, total_norm.view(), max_norm));
  });
}

void clamp_list_(const TensorList& tensors, double limit) {
  if (tensors.empty()) return;
  check_list("clamp_list_", "tensors", tensors);
  in_place(tensors, [&](const ListItem* items, int64_t n) {
    CCDL_KERNEL(tensors[0], multi_tensor_clamp(items, n, limit));
  });
}

void amp_unscale_(const TensorList& grads, const Tensor& found_inf, const Tensor& inv_scale) {
  const char* op = "_amp_foreach_non_finite_check_and_unscale_";
  check_list(op, "grads", grads);
  const Tensor* first = grads.empty() ? nullptr : &grads[0];
  check_number(op, "found_inf", found_inf, DType::Float32, first);
  check_number(op, "inv_scale", inv_scale, DType::Float32, first);
  if (!first) return;
  in_place(grads, [&](const ListItem* items, int64_t n) {
    CCDL_KERNEL(found_inf, amp_unscale(items, n, inv_scale.view(), found_inf.view()));
  });
  found_inf.bump_version();
}

void amp_update_scale_(const Tensor& scale, const Tensor& growth_tracker, const Tensor& found_inf,
                       const ScaleRule& rule) {
  const char* op = "_amp_update_scale_";
  check_number(op, "scale", scale, DType::Float32, nullptr);
  check_number(op, "growth_tracker", growth_tracker, DType::Int32, &scale);
  check_number(op, "found_inf", found_inf, DType::Float32, &scale);
  CCDL_KERNEL(scale, amp_update_scale(scale.view(), growth_tracker.view(), found_inf.view(), rule));
  scale.bump_version();
  growth_tracker.bump_version();
}

}  // namespace ccdl::ops
