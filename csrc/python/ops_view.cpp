// Rows of views, copies and the small queries every tensor has.
#include <ccdl/core/device_api.h>
#include <ccdl/ops/transfer.h>

#include "py_tensor.h"
#include "signature.h"

namespace ccdl::python {

namespace {

PyObject* element(const Tensor& x, int64_t at) { return wrap(ops::item(alias(x, Dims{}, Dims{}, at))); }

PyObject* to_list(const Tensor& x, int64_t dim, int64_t at) {
  if (dim == x.dim()) return element(x, at);
  PyObject* list = PyList_New(x.size(dim));
  for (int64_t i = 0; list && i < x.size(dim); ++i) {
    PyObject* o = to_list(x, dim + 1, at + i * x.stride(dim));
    if (!o) {
      Py_DECREF(list);
      return nullptr;
    }
    PyList_SET_ITEM(list, i, o);
  }
  return list;
}

MemoryFormat format_or(const Args& a, int i, MemoryFormat fallback) {
  return a.is_none(i) || !a.given(i) ? fallback : a.memory_format(i);
}

Tensor to_device(const Tensor& x, const Args& a, int device, std::optional<DType> dtype, int copy,
                 int format) {
  return ops::to(x, dtype.value_or(x.dtype()),
                 a.is_none(device) || !a.given(device) ? x.device() : a.device(device), a.boolean(copy),
                 format_or(a, format, MemoryFormat::Preserve), a.boolean(copy - 1));
}

Device current_cuda() { return {DeviceKind::Cuda, static_cast<int16_t>(cu::current_device())}; }

PyObject* convert(const Args& a, DType t) {
  return a.run([&] {
    return ops::to(a.tensor(0), t, a.tensor(0).device(), false, format_or(a, 1, MemoryFormat::Preserve));
  });
}

PyObject* split_evenly(const Tensor& x, int64_t n, int64_t at) {
  const int64_t dim = wrap_dim("tensor_split", at, x.dim());
  CCDL_CHECK(n > 0, Runtime, "tensor_split: number of sections must be larger than 0, got ", n);
  ops::check_pieces("tensor_split", n);
  TensorList out;
  int64_t start = 0;
  const int64_t size = x.size(dim);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t length = size / n + (i < size % n);
    out.push_back(ops::narrow(x, dim, start, length));
    start += length;
  }
  return wrap(out);
}

PyObject* row_split(const Args& a) { return wrap(ops::split(a.tensor(0), a.integer(1), a.integer(2))); }
PyObject* row_split_with_sizes(const Args& a) {
  return wrap(ops::split_with_sizes(a.tensor(0), a.all_ints(1), a.integer(2)));
}
// The unsafe kinds: autograd does not know that the parts share memory, so each may be written.
PyObject* parts_of_their_own(const TensorList& parts) {
  for (const Tensor& part : parts) {
    part.impl()->own_version = make_ref<VersionCounter>(0);
    if (autograd::Meta* m = autograd::meta_or_null(part)) {
      m->base = Tensor();
      m->view_kind = autograd::Meta::ViewKind::None;
    }
  }
  return wrap(parts);
}

PyObject* row_tensor_split(const Args& a) { return split_evenly(a.tensor(0), a.integer(1), a.integer(2)); }

PyObject* row_tensor_split_at(const Args& a) {
  return wrap(ops::tensor_split(a.tensor(0), a.all_ints(1), a.integer(2)));
}

PyObject* copy_row(const Args& a) {
  return a.run([&] { return ops::copy_(a.tensor(0), a.tensor(1), a.boolean(2)); });
}
PyObject* resize_as_row(const Args& a) {
  MemoryFormat format = a.memory_format(2);
  if (!a.is_none(2) && format == MemoryFormat::Preserve) format = a.tensor(1).suggest_memory_format();
  return wrap(ops::resize_(a.tensor(0), a.tensor(1).sizes(), format));
}

// A 0-d tensor is a number of sections, a 1-d one the borders.
PyObject* split_by_tensor(const Args& a) {
  const Tensor& by = a.tensor(1);
  CCDL_CHECK(is_integral(by.dtype(), false) && by.dim() <= 1, Runtime,
             "tensor_split: tensor_indices_or_sections must be a 0-d or 1-d integer tensor, got ",
             describe(by));
  if (by.dim() == 0) return split_evenly(a.tensor(0), ops::item(by).to_int(), a.integer(2));
  std::vector<int64_t> borders;
  for (int64_t i = 0; i < by.numel(); ++i) borders.push_back(ops::item(ops::select(by, 0, i)).to_int());
  return wrap(ops::tensor_split(a.tensor(0), borders, a.integer(2)));
}

const Row kRows[] = {
    {"view(Tensor self, dtype dtype) -> Tensor",
     [](const Args& a) { return wrap(ops::view_as_dtype(a.tensor(0), a.dtype(1))); }},
    {"view(Tensor self, int[]* size) -> Tensor",
     [](const Args& a) { return wrap(ops::view(a.tensor(0), a.ints(1))); }},
    {"view_as(Tensor self, Tensor other) -> Tensor",
     [](const Args& a) { return wrap(ops::view(a.tensor(0), a.tensor(1).sizes())); }},
    {"reshape(Tensor self, int[]* shape) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::reshape(a.tensor(0), a.ints(1)); }); }},
    {"reshape(Tensor input, int[] shape) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::reshape(a.tensor(0), a.ints(1)); }); }},
    {"reshape_as(Tensor self, Tensor other) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::reshape(a.tensor(0), a.tensor(1).sizes()); }); }},
    {"flatten(Tensor input, int start_dim=0, int end_dim=-1) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::flatten(a.tensor(0), a.integer(1), a.integer(2)); });
     },
     kBoth},
    {"ravel(Tensor input) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::reshape(ops::contiguous(a.tensor(0)), Dims{-1}); });
     },
     kBoth},
    {"unflatten(Tensor input, int dim, int[1] sizes) -> Tensor",
     [](const Args& a) { return wrap(ops::unflatten(a.tensor(0), a.integer(1), a.ints(2))); }, kBoth},
    {"permute(Tensor self, int[]* dims) -> Tensor",
     [](const Args& a) { return wrap(ops::permute(a.tensor(0), a.ints(1))); }},
    {"permute(Tensor input, int[] dims) -> Tensor",
     [](const Args& a) { return wrap(ops::permute(a.tensor(0), a.ints(1))); }},
    {"transpose(Tensor input, int dim0, int dim1) -> Tensor",
     [](const Args& a) { return wrap(ops::transpose(a.tensor(0), a.integer(1), a.integer(2))); }, kBoth},
    {"swapaxes(Tensor input, int axis0, int axis1) -> Tensor",
     [](const Args& a) { return wrap(ops::transpose(a.tensor(0), a.integer(1), a.integer(2))); }, kBoth},
    {"swapdims(Tensor input, int dim0, int dim1) -> Tensor",
     [](const Args& a) { return wrap(ops::transpose(a.tensor(0), a.integer(1), a.integer(2))); }, kBoth},
    {"t(Tensor input) -> Tensor", [](const Args& a) { return wrap(ops::t(a.tensor(0))); }, kBoth},
    {"adjoint(Tensor input) -> Tensor", [](const Args& a) { return wrap(ops::adjoint(a.tensor(0))); }, kBoth},
    {"movedim(Tensor input, int[1] source, int[1] destination) -> Tensor",
     [](const Args& a) { return wrap(ops::movedim(a.tensor(0), a.ints(1), a.ints(2))); }, kBoth},
    {"moveaxis(Tensor input, int[1] source, int[1] destination) -> Tensor",
     [](const Args& a) { return wrap(ops::movedim(a.tensor(0), a.ints(1), a.ints(2))); }, kBoth},
    {"expand(Tensor self, int[]* size) -> Tensor",
     [](const Args& a) { return wrap(ops::expand(a.tensor(0), a.ints(1))); }},
    {"expand_as(Tensor self, Tensor other) -> Tensor",
     [](const Args& a) { return wrap(ops::expand(a.tensor(0), a.tensor(1).sizes())); }},
    {"broadcast_to(Tensor input, int[] size) -> Tensor",
     [](const Args& a) { return wrap(ops::expand(a.tensor(0), a.ints(1))); }, kBoth},
    {"narrow(Tensor input, int dim, int start, int length) -> Tensor",
     [](const Args& a) { return wrap(ops::narrow(a.tensor(0), a.integer(1), a.integer(2), a.integer(3))); },
     kBoth},
    {"select(Tensor input, int dim, int index) -> Tensor",
     [](const Args& a) { return wrap(ops::select(a.tensor(0), a.integer(1), a.integer(2))); }, kBoth},
    {"squeeze(Tensor input) -> Tensor", [](const Args& a) { return wrap(ops::squeeze(a.tensor(0))); }, kBoth},
    {"squeeze(Tensor input, int[1] dim) -> Tensor",
     [](const Args& a) { return wrap(ops::squeeze(a.tensor(0), a.ints(1))); }, kBoth},
    {"unsqueeze(Tensor input, int dim) -> Tensor",
     [](const Args& a) { return wrap(ops::unsqueeze(a.tensor(0), a.integer(1))); }, kBoth},
    {"diagonal(Tensor input, int offset=0, int dim1=0, int dim2=1) -> Tensor",
     [](const Args& a) { return wrap(ops::diagonal(a.tensor(0), a.integer(1), a.integer(2), a.integer(3))); },
     kBoth},
    {"unfold(Tensor self, int dimension, int size, int step) -> Tensor",
     [](const Args& a) { return wrap(ops::unfold(a.tensor(0), a.integer(1), a.integer(2), a.integer(3))); }},
    {"as_strided(Tensor input, int[] size, int[] stride, int? storage_offset=None) -> Tensor",
     [](const Args& a) { return wrap(ops::as_strided(a.tensor(0), a.ints(1), a.ints(2), a.integer_or(3))); },
     kBoth},
    {"unsafe_split(Tensor self, int split_size, int dim=0) -> tuple",
     [](const Args& a) { return parts_of_their_own(ops::split(a.tensor(0), a.integer(1), a.integer(2))); }},
    {"unsafe_split_with_sizes(Tensor self, int[] split_sizes, int dim=0) -> tuple",
     [](const Args& a) {
       return parts_of_their_own(ops::split_with_sizes(a.tensor(0), a.all_ints(1), a.integer(2)));
     }},
    {"unsafe_chunk(Tensor self, int chunks, int dim=0) -> tuple",
     [](const Args& a) { return parts_of_their_own(ops::chunk(a.tensor(0), a.integer(1), a.integer(2))); }},
    {"conj_physical_(Tensor self) -> Tensor", [](const Args& a) { return wrap(a.tensor(0)); }},
    {"split(Tensor tensor, int split_size_or_sections, int dim=0) -> tuple", row_split},
    {"split(Tensor tensor, int[] split_size_or_sections, int dim=0) -> tuple", row_split_with_sizes},
    {"split(Tensor self, int split_size, int dim=0) -> tuple", row_split},
    {"split(Tensor self, int[] split_size, int dim=0) -> tuple", row_split_with_sizes},
    {"split(Tensor self, int split_size_or_sections, int dim=0) -> tuple", row_split},
    {"split(Tensor self, int[] split_size_or_sections, int dim=0) -> tuple", row_split_with_sizes},
    {"split_with_sizes(Tensor input, int[] split_sizes, int dim=0) -> tuple", row_split_with_sizes, kBoth},
    {"chunk(Tensor input, int chunks, int dim=0) -> tuple",
     [](const Args& a) { return wrap(ops::chunk(a.tensor(0), a.integer(1), a.integer(2))); }, kBoth},
    {"tensor_split(Tensor input, Tensor tensor_indices_or_sections, int dim=0) -> tuple", split_by_tensor,
     kBoth},
    {"tensor_split(Tensor input, int indices_or_sections, int dim=0) -> tuple", row_tensor_split, kBoth},
    {"tensor_split(Tensor input, int[] indices_or_sections, int dim=0) -> tuple", row_tensor_split_at, kBoth},
    {"tensor_split(Tensor input, int sections, int dim=0) -> tuple", row_tensor_split, kBoth},
    {"tensor_split(Tensor input, int[] indices, int dim=0) -> tuple", row_tensor_split_at, kBoth},
    {"unbind(Tensor input, int dim=0) -> tuple",
     [](const Args& a) { return wrap(ops::unbind(a.tensor(0), a.integer(1))); }, kBoth},
    {"clone(Tensor input, *, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::clone(a.tensor(0), format_or(a, 1, MemoryFormat::Preserve)); });
     },
     kBoth},
    {"contiguous(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::contiguous(a.tensor(0), format_or(a, 1, MemoryFormat::Contiguous)); });
     }},
    {"to(Tensor self, dtype dtype, bool non_blocking=False, bool copy=False, *, memory_format? "
     "memory_format=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::to(a.tensor(0), a.dtype(1), a.tensor(0).device(), a.boolean(3),
                        format_or(a, 4, MemoryFormat::Preserve), a.boolean(2));
       });
     }},
    {"to(Tensor self, device? device=None, dtype? dtype=None, bool non_blocking=False, bool copy=False, *, "
     "memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return a.run([&] { return to_device(a.tensor(0), a, 1, a.dtype_or(2), 4, 5); }); }},
    {"to(Tensor self, Tensor other, bool non_blocking=False, bool copy=False, *, memory_format? "
     "memory_format=None) -> Tensor",
     [](const Args& a) {
       return a.run([&] {
         return ops::to(a.tensor(0), a.tensor(1).dtype(), a.tensor(1).device(), a.boolean(3),
                        format_or(a, 4, MemoryFormat::Preserve), a.boolean(2));
       });
     }},
    {"type_as(Tensor self, Tensor other) -> Tensor",
     [](const Args& a) {
       return a.run([&] { return ops::to(a.tensor(0), a.tensor(1).dtype(), a.tensor(1).device(), false); });
     }},
    {"float(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Float32); }},
    {"double(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Float64); }},
    {"half(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Float16); }},
    {"bfloat16(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::BFloat16); }},
    {"long(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Int64); }},
    {"int(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Int32); }},
    {"short(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Int16); }},
    {"char(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Int8); }},
    {"byte(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::UInt8); }},
    {"bool(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return convert(a, DType::Bool); }},
    {"cpu(Tensor self, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return wrap(ops::to(a.tensor(0), a.tensor(0).dtype(), Device{}, false)); }},
    {"cuda(Tensor self, device? device=None, bool non_blocking=False, memory_format? memory_format=None) -> "
     "Tensor",
     [](const Args& a) {
       return wrap(ops::to(a.tensor(0), a.tensor(0).dtype(),
                           a.given(1) && !a.is_none(1) ? a.device(1) : current_cuda(), false,
                           format_or(a, 3, MemoryFormat::Preserve), a.boolean(2)));
     }},
    {"pin_memory(Tensor self, device? device=None) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::pin_memory(a.tensor(0)); }); }},
    {"is_pinned(Tensor self) -> bool",
     [](const Args& a) {
       return wrap(a.tensor(0).device().is_cpu() && cu::is_pinned(a.tensor(0).storage()->data()));
     }},

    {"share_memory_(Tensor self) -> Tensor", [](const Args& a) { return wrap(a.tensor(0)); }},
    {"is_shared(Tensor self) -> bool", [](const Args&) { return wrap(false); }},
    {"copy_(Tensor self, Tensor src, bool non_blocking=False) -> Tensor", copy_row},
    {"copy_(Tensor self, Tensor other, bool non_blocking=False) -> Tensor", copy_row, kOldForm},
    {"fill_(Tensor self, Number value) -> Tensor",
     [](const Args& a) {
       const ops::Operand value = a.operand(1);
       return a.run([&] {
         return value.is_tensor() ? ops::fill_(a.tensor(0), value.tensor)
                                  : ops::fill_(a.tensor(0), value.scalar);
       });
     }},
    {"zero_(Tensor self) -> Tensor",
     [](const Args& a) { return a.run([&] { return ops::zero_(a.tensor(0)); }); }},
    {"resize_(Tensor self, int[]* size, *, memory_format? memory_format=None) -> Tensor",
     [](const Args& a) { return wrap(ops::resize_(a.tensor(0), a.ints(1), a.memory_format(2))); }},
    {"resize_as_(Tensor self, Tensor the_template, *, memory_format? memory_format=None) -> Tensor",
     resize_as_row},
    {"resize_as_(Tensor self, Tensor other) -> Tensor",
     [](const Args& a) { return wrap(ops::resize_(a.tensor(0), a.tensor(1).sizes())); }, kOldForm},
    {"as_strided_(Tensor self, int[] size, int[] stride, int? storage_offset=None) -> Tensor",
     [](const Args& a) {
       return wrap(ops::inplace_view("as_strided_", a.tensor(0),
                                     ops::as_strided(a.tensor(0), a.ints(1), a.ints(2), a.integer_or(3))));
     }},
    {"unsqueeze_(Tensor self, int dim) -> Tensor",
     [](const Args& a) {
       return wrap(ops::inplace_view("unsqueeze_", a.tensor(0), ops::unsqueeze(a.tensor(0), a.integer(1))));
     }},
    {"squeeze_(Tensor self) -> Tensor",
     [](const Args& a) {
       return wrap(ops::inplace_view("squeeze_", a.tensor(0), ops::squeeze(a.tensor(0))));
     }},
    {"squeeze_(Tensor self, int[1] dim) -> Tensor",
     [](const Args& a) {
       return wrap(ops::inplace_view("squeeze_", a.tensor(0), ops::squeeze(a.tensor(0), a.ints(1))));
     }},
    {"transpose_(Tensor self, int dim0, int dim1) -> Tensor",
     [](const Args& a) {
       return wrap(ops::inplace_view("transpose_", a.tensor(0),
                                     ops::transpose(a.tensor(0), a.integer(1), a.integer(2))));
     }},
    {"t_(Tensor self) -> Tensor",
     [](const Args& a) { return wrap(ops::inplace_view("t_", a.tensor(0), ops::t(a.tensor(0)))); }},
    {"set_(Tensor self, Tensor source) -> Tensor",
     [](const Args& a) {
       ops::set_data(a.tensor(0), a.tensor(1));
       return wrap(a.tensor(0));
     }},
    {"alias(Tensor self) -> Tensor", [](const Args& a) { return wrap(ops::identity_view(a.tensor(0))); }},
    {"item(Tensor self) -> object",
     [](const Args& a) {
       const Tensor& x = a.tensor(0);
       CCDL_CHECK(x.numel() == 1, Runtime, "item: a Tensor with ", x.numel(),
                  " elements cannot be converted to Scalar; index it or use .tolist()");
       return wrap(ops::item(x));
     }},
    {"tolist(Tensor self) -> object",
     [](const Args& a) {
       const Tensor x = ops::on_host(a.tensor(0));
       return to_list(x, 0, x.offset());
     }},
    {"dim(Tensor self) -> int", [](const Args& a) { return wrap(a.tensor(0).dim()); }},
    {"ndimension(Tensor self) -> int", [](const Args& a) { return wrap(a.tensor(0).dim()); }},
    {"numel(Tensor input) -> int", [](const Args& a) { return wrap(a.tensor(0).numel()); }, kBoth},
    {"nelement(Tensor self) -> int", [](const Args& a) { return wrap(a.tensor(0).numel()); }},
    {"size(Tensor self, int? dim=None) -> object",
     [](const Args& a) {
       const Tensor& x = a.tensor(0);
       if (a.is_none(1)) return wrap(x.sizes());
       CCDL_CHECK(x.dim() > 0, Index, "size: Dimension specified as ", a.integer(1),
                  " but tensor has no dimensions");
       return wrap(x.size(wrap_dim("size", a.integer(1), x.dim())));
     }},
    {"stride(Tensor self, int? dim=None) -> object",
     [](const Args& a) {
       const Tensor& x = a.tensor(0);
       if (!a.is_none(1)) return wrap(x.stride(wrap_dim("stride", a.integer(1), x.dim())));
       PyObject* t = PyTuple_New(x.dim());
       for (int64_t d = 0; t && d < x.dim(); ++d) PyTuple_SET_ITEM(t, d, PyLong_FromLongLong(x.stride(d)));
       return t;
     }},
    {"storage_offset(Tensor self) -> int", [](const Args& a) { return wrap(a.tensor(0).offset()); }},
    {"element_size(Tensor self) -> int", [](const Args& a) { return wrap(item_size(a.tensor(0).dtype())); }},
    {"data_ptr(Tensor self) -> int",
     [](const Args& a) {
       return PyLong_FromVoidPtr(a.tensor(0).numel() == 0 ? nullptr : a.tensor(0).data());
     }},
    {"is_contiguous(Tensor self, memory_format? memory_format=None) -> bool",
     [](const Args& a) {
       return wrap(a.tensor(0).is_contiguous(format_or(a, 1, MemoryFormat::Contiguous)));
     }},
    {"is_floating_point(Tensor input) -> bool",
     [](const Args& a) { return wrap(is_floating(a.tensor(0).dtype())); }, kBoth},
    {"is_complex(Tensor input) -> bool", [](const Args&) { return wrap(false); }, kBoth},
    {"is_signed(Tensor input) -> bool",
     [](const Args& a) {
       return wrap(a.tensor(0).dtype() != DType::Bool && a.tensor(0).dtype() != DType::UInt8);
     },
     kBoth},
    {"is_same_size(Tensor input, Tensor other) -> bool",
     [](const Args& a) { return wrap(a.tensor(0).sizes() == a.tensor(1).sizes()); }, kBoth},
    {"is_set_to(Tensor self, Tensor tensor) -> bool",
     [](const Args& a) {
       return wrap(
           a.tensor(0).storage() == a.tensor(1).storage() && a.tensor(0).sizes() == a.tensor(1).sizes() &&
           a.tensor(0).strides() == a.tensor(1).strides() && a.tensor(0).offset() == a.tensor(1).offset());
     }},
    {"get_device(Tensor self) -> int",
     [](const Args& a) {
       return wrap(static_cast<int64_t>(a.tensor(0).device().is_cpu() ? -1 : a.tensor(0).device().index));
     }},
    {"_storage_id(Tensor self) -> int",
     [](const Args& a) { return PyLong_FromVoidPtr(a.tensor(0).storage().get()); }},
    {"_storage_bytes(Tensor self) -> int",
     [](const Args& a) { return wrap(a.tensor(0).storage()->bytes()); }},
    {"get_default_dtype() -> dtype", [](const Args&) { return wrap(default_dtype()); }},
    {"set_default_dtype(dtype d) -> None",
     [](const Args& a) {
       set_default_dtype(a.dtype(0));
       return Py_NewRef(Py_None);
     }},
};

}  // namespace

void bind_view(PyObject* module) { add_rows(module, kRows); }

}  // namespace ccdl::python
