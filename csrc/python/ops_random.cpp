// Rows of the random factories, fills and dropout.
#include "generator.h"

#include <ccdl/ops/random.h>
#include <ccdl/ops/view.h>

namespace ccdl::python {
namespace {

// Runs a factory with the GIL released when the result is big.
template <class F>
Tensor unlocked(int64_t numel, const F& f) {
  const Args::Unlocked released(numel);
  return f();
}
int64_t product(const Dims& sizes) {  // only a measure of work: an overflow is the op's business
  int64_t n = 1;
  for (const int64_t s : sizes) {
    if (s < 0 || __builtin_mul_overflow(n, s, &n)) return 0;
  }
  return n;
}

PyObject* finish(Tensor x, bool requires_grad) {
  if (requires_grad) autograd::set_requires_grad(x, true);
  return wrap(x);
}

// dtype, or that of out, or the default one.
DType dtype_of(const Args& a, int dtype, int out, DType otherwise) {
  if (const auto t = a.dtype_or(dtype)) return *t;
  return a.is_none(out) ? otherwise : a.tensor(out).dtype();
}
PyObject* into_out(const Args& a, const char* op, int out, int requires_grad, const Tensor& x) {
  if (a.is_none(out)) return finish(x, a.boolean(requires_grad));
  return wrap(ops::write_out(op, x, a.tensor(out)));
}

// size, *, generator, out, dtype, layout, device, requires_grad, pin_memory
template <Tensor (*F)(IntSpan, DType, Generator*, Device)>
PyObject* factory(const Args& a, const char* op) {
  Generator* g = generator_from(a.object(1));
  const DType t = dtype_of(a, 3, 2, default_dtype());
  const Device device = a.device(5);
  const Tensor x = unlocked(product(a.ints(0)), [&] { return F(a.ints(0), t, g, device); });
  return into_out(a, op, 2, 6, x);
}

// input, *, generator, dtype, layout, device, requires_grad, memory_format
template <Tensor (*F)(const Tensor&, DType, MemoryFormat, Generator*)>
PyObject* factory_like(const Args& a) {
  Generator* g = generator_from(a.object(1));
  const DType t = a.dtype_or(2).value_or(a.tensor(0).dtype());
  const Tensor x = unlocked(a.tensor(0).numel(), [&] { return F(a.tensor(0), t, a.memory_format(6), g); });
  return finish(x, a.boolean(5));
}

// first: index of low (or of high when with_low is false), then high, size, *, generator, out, dtype, layout,
// device ...
PyObject* integers(const Args& a, bool with_low) {
  const int at = with_low ? 1 : 0;
  Generator* g = generator_from(a.object(at + 2));
  const int64_t low = with_low ? a.integer(0) : 0, high = a.integer(at);
  const DType t = dtype_of(a, at + 4, at + 3, DType::Int64);
  const Device device = a.device(at + 6);
  const Dims& sizes = a.ints(at + 1);
  const Tensor x = unlocked(product(sizes), [&] { return ops::randint(low, high, sizes, t, g, device); });
  return into_out(a, "randint", at + 3, at + 7, x);
}
PyObject* integers_like(const Args& a, bool with_low) {
  const int at = with_low ? 2 : 1;
  Generator* g = generator_from(a.object(at + 1));
  const int64_t low = with_low ? a.integer(1) : 0, high = a.integer(at);
  const DType t = a.dtype_or(at + 2).value_or(a.tensor(0).dtype());
  const Tensor x = unlocked(a.tensor(0).numel(), [&] {
    return ops::randint_like(a.tensor(0), low, high, t, a.memory_format(at + 6), g);
  });
  return finish(x, a.boolean(at + 5));
}

PyObject* permutation(const Args& a) {
  Generator* g = generator_from(a.object(1));
  const DType t = dtype_of(a, 3, 2, DType::Int64);
  const Device device = a.device(5);
  const Tensor x = unlocked(a.integer(0), [&] { return ops::randperm(a.integer(0), t, g, device); });
  return into_out(a, "randperm", 2, 6, x);
}

PyObject* normal_of(const Args& a) {
  Generator* g = generator_from(a.object(2));
  return a.run_out(3, "normal", [&] { return ops::normal(a.operand(0), a.operand(1), g); });
}

PyObject* normal_sized(const Args& a) {
  Generator* g = generator_from(a.object(3));
  const DType t = dtype_of(a, 5, 4, default_dtype());
  const Device device = a.device(7);
  const Tensor x = unlocked(product(a.ints(2)),
                            [&] { return ops::normal(a.real(0), a.real(1), a.ints(2), t, g, device); });
  return into_out(a, "normal", 4, 8, x);
}

// self, two numbers, *, generator
template <Tensor (*F)(const Tensor&, double, double, Generator*)>
PyObject* fill_two(const Args& a) {
  Generator* g = generator_from(a.object(3));
  return a.run([&] { return F(a.tensor(0), a.real(1), a.real(2), g); });
}
template <Tensor (*F)(const Tensor&, double, Generator*)>
PyObject* fill_one(const Args& a) {
  Generator* g = generator_from(a.object(2));
  return a.run([&] { return F(a.tensor(0), a.real(1), g); });
}

PyObject* random_fill(const Args& a, int64_t from, std::optional<int64_t> to, int generator) {
  Generator* g = generator_from(a.object(generator));
  return a.run([&] { return ops::random_(a.tensor(0), from, to, g); });
}

template <Tensor (*F)(const Tensor&, double, bool)>
PyObject* drop(const Args& a) {
  return a.run([&] { return F(a.tensor(0), a.real(1), a.boolean(2)); });
}
template <Tensor (*F)(const Tensor&, double, bool)>
PyObject* drop_inplace(const Args& a, const char* op) {
  return a.run([&] {
    if (!a.boolean(2) || a.real(1) == 0) return F(a.tensor(0), a.real(1), a.boolean(2));
    return ops::inplace(op, a.tensor(0), [&](const Tensor& x) { return F(x, a.real(1), true); });
  });
}

PyObject* seeded(uint64_t seed) {
  current_generator().manual_seed(seed);
  return wrap_generator(Ref<Generator>(&current_generator()));
}

#define CCDL_FACTORY_TAIL                                                                            \
  "*, Generator? generator=None, Tensor? out=None, dtype? dtype=None, layout? layout=None, device? " \
  "device=None, "                                                                                    \
  "bool requires_grad=False, bool pin_memory=False) -> Tensor"
#define CCDL_LIKE_TAIL                                                                          \
  "*, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, " \
  "bool requires_grad=False, memory_format? memory_format=None) -> Tensor"

const Row kRows[] = {
    {"rand(int[]* size, " CCDL_FACTORY_TAIL, [](const Args& a) { return factory<ops::rand>(a, "rand"); }},
    {"randn(int[]* size, " CCDL_FACTORY_TAIL, [](const Args& a) { return factory<ops::randn>(a, "randn"); }},
    {"randint(int high, int[] size, " CCDL_FACTORY_TAIL, [](const Args& a) { return integers(a, false); }},
    {"randint(int low, int high, int[] size, " CCDL_FACTORY_TAIL,
     [](const Args& a) { return integers(a, true); }},
    {"randperm(int n, " CCDL_FACTORY_TAIL, permutation},
    {"rand_like(Tensor input, " CCDL_LIKE_TAIL, factory_like<ops::rand_like>},
    {"randn_like(Tensor input, " CCDL_LIKE_TAIL, factory_like<ops::randn_like>},
    {"randint_like(Tensor input, int high, " CCDL_LIKE_TAIL,
     [](const Args& a) { return integers_like(a, false); }},
    {"randint_like(Tensor input, int low, int high, " CCDL_LIKE_TAIL,
     [](const Args& a) { return integers_like(a, true); }},
    {"normal(float mean, float std, int[] size, " CCDL_FACTORY_TAIL, normal_sized},
    {"normal(Number mean, Number std=1.0, *, Generator? generator=None, Tensor? out=None) -> Tensor",
     normal_of},
    {"bernoulli(Tensor input, *, Generator? generator=None, Tensor? out=None) -> Tensor",
     [](const Args& a) {
       Generator* g = generator_from(a.object(1));
       return a.run_out(2, "bernoulli", [&] {  // zeros and ones fit every dtype that out= may have
         const Tensor drawn = ops::bernoulli(a.tensor(0), g), out = a.tensor_or(2);
         return out.defined() ? ops::to(drawn, out.dtype()) : drawn;
       });
     },
     kBoth},
    {"bernoulli(Tensor input, float p, *, Generator? generator=None) -> Tensor",
     [](const Args& a) {
       Generator* g = generator_from(a.object(2));
       return a.run([&] { return ops::bernoulli(a.tensor(0), a.real(1), g); });
     },
     kBoth},
    {"multinomial(Tensor input, int num_samples, bool replacement=False, *, Generator? generator=None, "
     "Tensor? out=None) -> Tensor",
     [](const Args& a) {
       Generator* g = generator_from(a.object(3));
       return a.run_out(4, "multinomial",
                        [&] { return ops::multinomial(a.tensor(0), a.integer(1), a.boolean(2), g); });
     },
     kBoth},
    {"uniform_(Tensor self, float from=0.0, float to=1.0, *, Generator? generator=None) -> Tensor",
     fill_two<ops::uniform_>},
    {"normal_(Tensor self, float mean=0.0, float std=1.0, *, Generator? generator=None) -> Tensor",
     fill_two<ops::normal_>},
    {"log_normal_(Tensor self, float mean=1.0, float std=2.0, *, Generator? generator=None) -> Tensor",
     fill_two<ops::log_normal_>},
    {"cauchy_(Tensor self, float median=0.0, float sigma=1.0, *, Generator? generator=None) -> Tensor",
     fill_two<ops::cauchy_>},
    {"exponential_(Tensor self, float lambd=1.0, *, Generator? generator=None) -> Tensor",
     fill_one<ops::exponential_>},
    {"geometric_(Tensor self, float p, *, Generator? generator=None) -> Tensor", fill_one<ops::geometric_>},
    {"bernoulli_(Tensor self, float p=0.5, *, Generator? generator=None) -> Tensor",
     fill_one<ops::bernoulli_>},
    {"bernoulli_(Tensor self, Tensor p, *, Generator? generator=None) -> Tensor",
     [](const Args& a) {
       Generator* g = generator_from(a.object(2));
       return a.run([&] { return ops::bernoulli_(a.tensor(0), a.tensor(1), g); });
     }},
    {"random_(Tensor self, *, Generator? generator=None) -> Tensor",
     [](const Args& a) { return random_fill(a, 0, std::nullopt, 1); }},
    {"random_(Tensor self, int to, *, Generator? generator=None) -> Tensor",
     [](const Args& a) { return random_fill(a, 0, a.integer(1), 2); }},
    {"random_(Tensor self, int from, int? to, *, Generator? generator=None) -> Tensor",
     [](const Args& a) { return random_fill(a, a.integer(1), a.integer_or(2), 3); }},
    {"dropout(Tensor input, float p=0.5, bool train=True) -> Tensor", drop<ops::dropout>},
    {"dropout_(Tensor input, float p=0.5, bool train=True) -> Tensor",
     [](const Args& a) { return drop_inplace<ops::dropout>(a, "dropout_"); }},
    {"feature_dropout(Tensor input, float p=0.5, bool train=True) -> Tensor", drop<ops::feature_dropout>},
    {"feature_dropout_(Tensor input, float p=0.5, bool train=True) -> Tensor",
     [](const Args& a) { return drop_inplace<ops::feature_dropout>(a, "feature_dropout_"); }},
    {"alpha_dropout(Tensor input, float p=0.5, bool train=False) -> Tensor", drop<ops::alpha_dropout>},
    {"feature_alpha_dropout(Tensor input, float p=0.5, bool train=False) -> Tensor",
     drop<ops::feature_alpha_dropout>},
    {"manual_seed(object seed) -> Generator", [](const Args& a) { return seeded(seed_from(a.object(0))); }},
    {"seed() -> int", [](const Args&) { return PyLong_FromUnsignedLongLong(current_generator().seed()); }},
    {"initial_seed() -> int",
     [](const Args&) { return PyLong_FromUnsignedLongLong(current_generator().initial_seed()); }},
    {"get_rng_state() -> Tensor", [](const Args&) { return wrap(state_tensor(current_generator())); }},
    {"set_rng_state(Tensor new_state) -> None",
     [](const Args& a) {
       set_state_from("set_rng_state", current_generator(), a.tensor(0));
       return Py_NewRef(Py_None);
     }},
    {"_set_thread_generator(Generator? generator) -> object",
     [](const Args& a) {
       const Ref<Generator> before = set_thread_generator(Ref<Generator>(generator_from(a.object(0))));
       return before ? wrap_generator(before) : Py_NewRef(Py_None);
     }},
};

}  // namespace

void bind_random(PyObject* m) {
  if (!init_generator(m)) return;
  add_rows(m, kRows);
}

}  // namespace ccdl::python
