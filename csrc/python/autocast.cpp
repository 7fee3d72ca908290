// Mixed precision at the boundary: the arguments of a listed op are cast before it runs, and the switches
// that ccdl.amp builds its context managers from.
#include "autocast.h"

#include <ccdl/core/dispatch.h>

namespace ccdl::python {

using ops::CastPolicy;

namespace {

constexpr DeviceKind kKinds[] = {DeviceKind::Cpu, DeviceKind::Cuda};

DeviceKind kind_from(const Args& a, int i, const char* op) {
  const std::string name = a.string(i);
  if (name == "cpu") return DeviceKind::Cpu;
  CCDL_CHECK(name == "cuda", Runtime, op, ": device_type must be 'cpu' or 'cuda', got '", name, "'");
  return DeviceKind::Cuda;
}

PyObject* none() { return Py_NewRef(Py_None); }

// visit(f) calls f(tensor, where its cast goes) -> bool (false: no further ones) for the arguments of an op;
// all that take part come to the policy's dtype.
template <class Visit>
void cast_all(CastPolicy policy, DeviceKind kind, const std::string& op, int64_t work, const Visit& visit) {
  bool any = false, any_float32 = false;
  visit([&](const Tensor& t, Tensor*) {
    const bool eligible = ops::autocast_eligible(t, kind);
    any |= eligible;
    any_float32 |= eligible && t.dtype() == DType::Float32;
    return true;
  });
  if (!any) return;
  CCDL_CHECK(policy != CastPolicy::Banned, Runtime, op,
             ": a probability in float16 may round to 0 or 1, whose logarithm is infinite, so this loss is "
             "refused under autocast on CUDA; use binary_cross_entropy_with_logits, or float32 inputs inside "
             "autocast('cuda', enabled=False)");
  const DType target = ops::autocast_target(policy, kind, any_float32);
  const Args::Unlocked unlocked(work);
  visit([&](const Tensor& t, Tensor* to) {
    if (ops::autocast_eligible(t, kind) && t.dtype() != target) *to = ops::autocast_to(t, target);
    return policy != CastPolicy::SetFloat32;
  });
}

}  // namespace

void Signature::autocast(Args* a) const {
  for (size_t i = 0; i < params.size(); ++i)
    if (params[i].name == "out" && a->slots_[i].given && !a->slots_[i].none) return;
  for (DeviceKind kind : kKinds) {
    const CastPolicy policy = casts.of[static_cast<int>(kind)];
    if (policy == CastPolicy::None || !ops::autocast_enabled(kind)) continue;
    bool skip = false;
    for (size_t i = 0; i < params.size(); ++i) {
      const Slot& s = a->slots_[i];
      if (policy == CastPolicy::SetFloat32 && params[i].name == "dtype") skip |= s.given && !s.none;
      if (policy == CastPolicy::Pad && params[i].name == "mode") {
        const std::string mode = a->string(static_cast<int>(i));
        skip |= mode != "reflect" && mode != "replicate";
      }
    }
    if (skip) continue;
    cast_all(policy, kind, name, a->work_, [&](const auto& f) {
      for (size_t i = 0; i < params.size(); ++i) {
        Slot& s = a->slots_[i];
        if (s.tensor && s.tensor->defined()) {
          Tensor cast;
          const bool go_on = f(*s.tensor, &cast);
          if (cast.defined()) {
            s.make_lists().tensors.assign(1, cast);  // unused by an argument of one tensor
            s.tensor = &s.lists->tensors[0];
          }
          if (!go_on) return;
          continue;
        }
        if (!s.lists) continue;
        for (Tensor& t : s.lists->tensors)
          if (!f(t, &t)) return;
      }
    });
  }
}

void autocast_operands(const char* op, ops::Operand* a, ops::Operand* b) {
  const ops::CastPolicies casts = ops::cast_policies(op);
  for (DeviceKind kind : kKinds) {
    const CastPolicy policy = casts.of[static_cast<int>(kind)];
    if (policy == CastPolicy::None || !ops::autocast_enabled(kind)) continue;
    cast_all(policy, kind, op, 0, [&](const auto& f) {
      for (ops::Operand* x : {a, b})
        if (x->is_tensor()) f(x->tensor, &x->tensor);
    });
  }
}

static const Row kRows[] = {
    {"is_autocast_enabled(str device_type='cuda') -> bool",
     [](const Args& a) { return wrap(ops::autocast_enabled(kind_from(a, 0, "is_autocast_enabled"))); }},
    {"set_autocast_enabled(str device_type, bool enabled) -> None",
     [](const Args& a) {
       ops::set_autocast_enabled(kind_from(a, 0, "set_autocast_enabled"), a.boolean(1));
       return none();
     }},
    {"set_autocast_enabled(bool enabled) -> None",
     [](const Args& a) {
       ops::set_autocast_enabled(DeviceKind::Cuda, a.boolean(0));
       return none();
     }},
    {"get_autocast_dtype(str device_type) -> dtype",
     [](const Args& a) { return wrap(ops::autocast_dtype(kind_from(a, 0, "get_autocast_dtype"))); }},
    {"set_autocast_dtype(str device_type, dtype dtype) -> None",
     [](const Args& a) {
       ops::set_autocast_dtype(kind_from(a, 0, "set_autocast_dtype"), a.dtype(1));
       return none();
     }},
    {"is_autocast_cache_enabled() -> bool", [](const Args&) { return wrap(ops::autocast_cache_enabled()); }},
    {"set_autocast_cache_enabled(bool enabled) -> None",
     [](const Args& a) {
       ops::set_autocast_cache_enabled(a.boolean(0));
       return none();
     }},
    {"clear_autocast_cache() -> None",
     [](const Args&) {
       ops::clear_autocast_cache();
       return none();
     }},
    {"autocast_increment_nesting() -> int",
     [](const Args&) { return wrap(static_cast<int64_t>(ops::autocast_enter())); }},
    {"autocast_decrement_nesting() -> int",
     [](const Args&) { return wrap(static_cast<int64_t>(ops::autocast_leave())); }},
    {"_autocast_policies(str op) -> object",
     [](const Args& a) {  // on the CPU and on CUDA
       static const char* const kNames[] = {"None",    "Low", "Float32", "SetFloat32",
                                            "Promote", "Pad", "Banned"};
       const ops::CastPolicies casts = ops::cast_policies(a.string(0));
       return Py_BuildValue("(ss)", kNames[static_cast<int>(casts.of[0])],
                            kNames[static_cast<int>(casts.of[1])]);
     }},
    // For functions composed in Python: the tensors as the op `op` would get them.
    {"_autocast(str op, Tensor[] tensors) -> object",
     [](const Args& a) {
       TensorList list = a.tensors(1);
       if (ops::autocast_active()) {
         const std::string op = a.string(0);
         const ops::CastPolicies casts = ops::cast_policies(op);
         for (DeviceKind kind : kKinds) {
           const CastPolicy policy = casts.of[static_cast<int>(kind)];
           if (policy == CastPolicy::None || !ops::autocast_enabled(kind)) continue;
           cast_all(policy, kind, op, INT64_MAX, [&](const auto& f) {
             for (Tensor& t : list)
               if (!f(t, &t)) return;
           });
         }
       }
       return wrap(list);
     }},
};
void bind_autocast(PyObject* m) { add_rows(m, kRows); }

}  // namespace ccdl::python
