// Lists of parameters, gradients and states as the optimiser steps take them: checks, one order of elements
// per parameter, one launch per device.
#pragma once
#include <utility>
#include <vector>

#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/kernels/optim.h>
#include <ccdl/ops/dense.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

inline void check_list(const char* op, const char* name, const TensorList& list, size_t n,
                       bool may_be_empty) {
  CCDL_CHECK(list.size() == n || (may_be_empty && list.empty()), Value, op, ": ", name, " has ", list.size(),
             " tensors, params has ", n);
}

// A parameter, gradient or state in the element order of the step: itself, or a copy that is written back.
class Aligned {
 public:
  Aligned(const char* op, const char* name, const Tensor& param, const Tensor& t) : original_(t), used_(t) {
    CCDL_CHECK(t.sizes() == param.sizes(), Shape, op, ": ", name, " is ", describe(t),
               ", must have the parameter's size ", param.sizes());
    CCDL_CHECK(t.dtype() == param.dtype(), DType, op, ": ", name, " is ", dtype_name(t.dtype()),
               ", must have the parameter's dtype ", dtype_name(param.dtype()));
    check_same_device(op, {{"params", &param}, {name, &t}});
    fits_ = t.strides() == param.strides() && strides_dense(param.sizes(), param.strides());
  }
  const Tensor& original() const { return original_; }
  bool fits() const { return fits_; }
  void* data() const { return used_.data(); }
  void make_contiguous() {
    NoGradGuard no_grad;
    used_ = contiguous(original_);
  }
  void write_back() const {
    NoGradGuard no_grad;
    if (!used_.same(original_))
      copy_(original_, used_);
    else
      original_.bump_version();
  }

 private:
  Tensor original_, used_;
  bool fits_;
};

// One parameter with its gradient and state, in one common order of elements.
struct Group {
  std::vector<Aligned> tensors;  // param, grad, states
  std::vector<int> slots;        // of the states
  void add(const char* op, const char* name, const Tensor& param, const Tensor& t) {
    tensors.emplace_back(op, name, param, t);
  }
  // Where the memory orders differ, all use the contiguous one.
  void settle() {
    bool fit = true;
    for (const Aligned& t : tensors) fit = fit && t.fits();
    for (Aligned& t : tensors)
      if (!fit) t.make_contiguous();
  }
  void place(const Tensor& param, OptimItem* item) const {
    *item = {tensors[0].data(), tensors[1].data(), {nullptr, nullptr, nullptr},
             param.numel(),     param.dtype(),     0};
    for (size_t i = 2; i < tensors.size(); ++i) item->state[slots[i - 2]] = tensors[i].data();
  }
  void announce() const {
    for (size_t i = 0; i < tensors.size(); ++i)
      if (i != 1) autograd::announce_write(tensors[i].original());
  }
  void finish() const {
    for (size_t i = 0; i < tensors.size(); ++i)
      if (i != 1) tensors[i].write_back();
  }
};

struct NamedList {
  const char* name;
  const TensorList* list;
};

// run(some parameter, items) once per device, after the checks; params and states are marked as written.
// others: the gradients, then the states in their order; an empty list leaves its state null. fill(i, item)
// completes item i.
template <class Item, class Fill, class Run>
void run_step(const char* op, const TensorList& params, std::initializer_list<NamedList> others,
              const Fill& fill, const Run& run) {
  std::vector<Group> groups(params.size());
  std::vector<std::pair<const Tensor*, std::vector<Item>>> launches;  // one per device
  for (size_t i = 0; i < params.size(); ++i) {
    const Tensor& p = params[i];
    CCDL_CHECK(is_floating(p.dtype()), DType, op, ": parameter ", i, " must be floating point, got ",
               describe(p));
    groups[i].add(op, "params", p, p);
    int slot = -1;  // the gradient is no state
    for (const NamedList& other : others) {
      if (!other.list->empty()) {
        groups[i].add(op, other.name, p, (*other.list)[i]);
        if (slot >= 0) groups[i].slots.push_back(slot);
      }
      ++slot;
    }
    groups[i].settle();
    size_t at = 0;
    while (at < launches.size() && !(launches[at].first->device() == p.device())) ++at;
    if (at == launches.size()) launches.push_back({&p, {}});
    Item& item = launches[at].second.emplace_back();
    groups[i].place(p, &item);
    fill(i, &item);
  }
  for (const Group& g : groups) g.announce();
  for (const auto& [where, items] : launches) run(*where, items.data(), static_cast<int64_t>(items.size()));
  for (const Group& g : groups) g.finish();
}

}  // namespace ccdl::ops
