// Tensors kept for backward: version checks, graphs that were freed, and the pack and unpack hooks of the
// user. What a hook packed hangs, as state of its own, on an empty tensor in the place of the one kept.
#include <ccdl/autograd/saved_hooks.h>
#include <ccdl/core/tls.h>
#include <ccdl/ops/view.h>

namespace ccdl::autograd {

namespace {

thread_local std::vector<Pack> t_packs;
CCDL_TLS bool t_packing = false;  // inside a pack hook
CCDL_TLS bool t_hooked = false;   // there is a hook, and none runs
void look_for_hooks() { t_hooked = !t_packs.empty() && !t_packing; }

struct Packed : Meta {
  Unpack unpack;
  Edge history;  // of an input
  OutputInfo info;
  Dims strides;
};

thread_local BeforeWrite t_before_write;
CCDL_TLS bool t_watched = false;

constexpr int kPackedInput = -2;  // output_nr_; packed output i is kPackedInput - 1 - i

void check_savable(const Tensor& x) {
  CCDL_CHECK(!x.impl()->inference, Autograd,
             "save_for_backward: Inference tensors cannot be saved for backward (", describe(x),
             "); make a clone outside inference_mode and use that");
}

Tensor run_pack(const Tensor& x, bool is_input) {
  struct Quiet {  // what the hook computes is neither recorded nor packed
    NoGradGuard no_grad;
    Quiet() { set(true); }
    ~Quiet() { set(false); }
    static void set(bool packing) {
      t_packing = packing;
      look_for_hooks();
    }
  };
  auto packed = std::make_unique<Packed>();
  if (is_input) packed->history = gradient_edge(x);
  packed->info = {x.sizes(), x.dtype(), x.device(), true};
  packed->strides = x.strides();
  const Quiet quiet;
  const Pack hook = t_packs.back();
  const uint32_t before = x.version();
  packed->unpack = hook(detach(x));
  CCDL_CHECK(
      x.version() == before, Runtime,
      "saved_tensors_hooks: A saved tensor pack hook is modifying its input in place. Tensors provided "
      "as input to pack hook can not be modified by in-place operations; clone it first (",
      describe(x), ")");
  Tensor carrier = empty(Dims{0}, DType::UInt8, Device{});
  carrier.impl()->autograd = std::move(packed);
  return carrier;
}

Tensor run_unpack(const Tensor& carrier, Node* holder, int output_nr) {
  const auto& packed = static_cast<const Packed&>(*meta_or_null(carrier));
  const OutputInfo& info = packed.info;
  const NoGradGuard no_grad;
  const Tensor given = packed.unpack();
  CCDL_CHECK(given.sizes() == info.sizes && given.dtype() == info.dtype && given.device() == info.device,
             Runtime, "backward: ", holder->name(), ": the unpack hook returned ", describe(given),
             ", must return what was packed: ", dtype_name(info.dtype), " ", info.sizes, " on ",
             info.device.name());
  // A kernel may count on the strides it saw, unless they were those of an expanded or sliced tensor.
  Tensor x = given.strides() == packed.strides ? detach(given)
             : strides_dense(info.sizes, packed.strides)
                 ? ops::copy_(empty_strided(info.sizes, packed.strides, info.dtype, info.device), given)
             : ops::contiguous(given).same(given) ? detach(given)
                                                  : ops::contiguous(given);
  if (output_nr < 0 && !packed.history) return x;
  meta(x)->grad_fn = output_nr < 0 ? packed.history.node : Ref<Node>(holder);
  meta(x)->output_nr = output_nr < 0 ? packed.history.output_nr : output_nr;
  return x;
}

}  // namespace

void push_saved_hooks(Pack pack) {
  t_packs.push_back(std::move(pack));
  look_for_hooks();
}
void pop_saved_hooks() {
  if (!t_packs.empty()) t_packs.pop_back();
  look_for_hooks();
}
void set_before_write(BeforeWrite watcher) {
  t_before_write = std::move(watcher);
  t_watched = static_cast<bool>(t_before_write);
}
void announce_write(const Tensor& x) {
  if (!t_watched) return;
  const NoGradGuard no_grad;
  const BeforeWrite watcher = t_before_write;
  watcher(x);
}

size_t saved_hooks_depth() { return t_packs.size(); }

SavedTensor::SavedTensor(const Tensor& x) {
  if (!x.defined()) return;
  check_savable(x);
  const bool pack = t_hooked;
  tensor_ = pack ? run_pack(x, true) : x;
  if (pack) output_nr_ = kPackedInput;
  version_ = x.version();
  saved_ = true;
}

SavedTensor::SavedTensor(const Tensor& output, const Node*, int output_nr) {
  if (!output.defined()) return;
  const bool pack = t_hooked;
  tensor_ = pack ? run_pack(output, false) : alias(output, output.sizes(), output.strides(), output.offset());
  version_ = output.version();
  output_nr_ = pack ? kPackedInput - 1 - output_nr : output_nr;
  saved_ = true;
}

void SavedTensor::reset() {
  released_ = saved_ || released_;
  tensor_ = Tensor();
}

Tensor SavedTensor::get(Node* holder) const {
  if (!saved_) return Tensor();
  CCDL_CHECK(!released_, Autograd, "backward: ", holder->name(),
             ": Trying to backward through the graph a second time (or directly access saved tensors after "
             "they have already been "
             "freed). Specify retain_graph=True in the first backward() or grad()");
  if (output_nr_ <= kPackedInput) return run_unpack(tensor_, holder, kPackedInput - 1 - output_nr_);
  CCDL_CHECK(
      tensor_.version() == version_, Autograd, "backward: ", holder->name(),
      ": one of the variables needed for gradient computation has been modified by an inplace operation: ",
      describe(tensor_), " is at version ", tensor_.version(), "; expected version ", version_,
      " instead; clone it before writing to it");
  if (output_nr_ < 0 || !grad_enabled()) return tensor_;
  Tensor again = alias(tensor_, tensor_.sizes(), tensor_.strides(), tensor_.offset());
  Meta* m = meta(again);
  m->grad_fn = Ref<Node>(holder);
  m->output_nr = output_nr_;
  return again;
}

}  // namespace ccdl::autograd
