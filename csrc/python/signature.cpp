// Signatures, parsed once from their text.
#include "signature.h"

#include <stdexcept>

namespace ccdl::python {

namespace {

// Rows that take complex numbers as the pairs they are held in: a leaf is that leaf, and a view shares
// memory.
constexpr const char* kOfPairs[] = {"as_subclass",
                                    "_run_backward",
                                    "_record_function",
                                    "requires_grad_",
                                    "retain_grad",
                                    "register_hook",
                                    "register_post_accumulate_grad_hook"};
// Rows whose tensors may live on different devices.
constexpr const char* kMovesBetweenDevices[] = {
    "copy_", "to", "type_as", "set_data", "index_put", "index_put_", "resize_as_", "expand_as", "view_as",
    "reshape_as", "is_set_to", "_run_backward", "_record_function", "backward", "result_type",
    "_fused_sgd_step", "_fused_adam_step",
    // batch_sizes stays on the host; the op checks the rest
    "lstm", "gru", "rnn_tanh", "rnn_relu", "peephole_lstm"};

// Rows that take numbers of the generator, or may.
constexpr const char* kDrawing[] = {"rand",
                                    "randn",
                                    "randint",
                                    "randperm",
                                    "normal",
                                    "rand_like",
                                    "randn_like",
                                    "bernoulli",
                                    "randint_like",
                                    "multinomial",
                                    "poisson",
                                    "binomial",
                                    "dropout",
                                    "dropout_",
                                    "alpha_dropout",
                                    "feature_dropout",
                                    "feature_dropout_",
                                    "feature_alpha_dropout",
                                    "bernoulli_",
                                    "cauchy_",
                                    "exponential_",
                                    "geometric_",
                                    "log_normal_",
                                    "normal_",
                                    "random_",
                                    "uniform_",
                                    "_standard_gamma"};

struct TypeName {
  const char* text;
  ArgType type;
  const char* shown;
};
constexpr TypeName kTypes[] = {{"Tensor[]", ArgType::Tensors, "tuple of Tensors"},
                               {"Tensor", ArgType::Tensor, "Tensor"},
                               {"Scalar", ArgType::Scalar, "Number"},
                               {"Number", ArgType::Number, "Tensor or Number"},
                               {"Operand", ArgType::Number, "Tensor"},
                               {"int[]", ArgType::Ints, "tuple of ints"},
                               {"int", ArgType::Int, "int"},
                               {"float[]", ArgType::Floats, "tuple of floats"},
                               {"float", ArgType::Float, "float"},
                               {"bool[]", ArgType::Bools, "tuple of bools"},
                               {"bool", ArgType::Bool, "bool"},
                               {"str", ArgType::Str, "str"},
                               {"dtype", ArgType::DType, "ccdl.dtype"},
                               {"device", ArgType::Device, "ccdl.device"},
                               {"Generator", ArgType::Generator, "ccdl.Generator"},
                               {"memory_format", ArgType::MemoryFormat, "ccdl.memory_format"},
                               {"layout", ArgType::Layout, "ccdl.layout"},
                               {"object", ArgType::Object, "object"}};

std::string trim(std::string s) {
  const size_t a = s.find_first_not_of(" \n"), b = s.find_last_not_of(" \n");
  return a == std::string::npos ? "" : s.substr(a, b - a + 1);
}

[[noreturn]] void bad_signature(const std::string& text, const std::string& why) {
  throw std::runtime_error("signature '" + text + "': " + why);
}

void parse_default(const std::string& whole, const std::string& text, Param* p) {
  Slot& d = p->fallback;
  p->default_text = text;
  p->has_default = true;
  if (text == "None") {
    d.none = true;
  } else if (text == "True" || text == "False") {
    d.integer = text == "True";
    d.scalar = Scalar(text == "True");
    d.real = static_cast<double>(d.integer);
  } else if (text.front() == '\'') {
    p->default_string = text.substr(1, text.size() - 2);
  } else if (text.front() == '[') {
    std::string inner = text.substr(1, text.size() - 2);
    for (size_t at = 0; at < inner.size();) {
      size_t comma = inner.find(',', at);
      if (comma == std::string::npos) comma = inner.size();
      const double v = std::stod(inner.substr(at, comma - at));
      d.ints.push_back(static_cast<int64_t>(v));
      d.make_lists().reals.push_back(v);
      at = comma + 1;
    }
  } else {
    const bool real = text.find_first_of(".e") != std::string::npos || text == "inf" || text == "-inf";
    d.real = std::stod(text);
    d.integer = real ? static_cast<int64_t>(0) : std::stoll(text);
    d.scalar = real ? Scalar(d.real) : Scalar(static_cast<long>(d.integer));
    if (p->type == ArgType::Ints) {
      d.ints = Dims(static_cast<size_t>(std::max(p->fill, 1)), d.integer);
    }
  }
  if (p->type == ArgType::MemoryFormat) d.integer = static_cast<int>(MemoryFormat::Preserve);
  (void)whole;
}

Param parse_param(const std::string& whole, std::string text) {
  Param p;
  std::string default_text;
  if (const size_t eq = text.find('='); eq != std::string::npos) {
    default_text = trim(text.substr(eq + 1));
    text = trim(text.substr(0, eq));
  }
  const size_t space = text.rfind(' ');
  if (space == std::string::npos) bad_signature(whole, "parameter '" + text + "' has no type");
  p.name = text.substr(space + 1);
  std::string type = trim(text.substr(0, space));
  p.type_text = type;
  if (type.back() == '*') {
    p.star = true;
    type.pop_back();
  }
  if (type.back() == '?') {
    p.optional = true;
    type.pop_back();
  }
  if (const size_t open = type.find('['); open != std::string::npos && type[open + 1] != ']') {
    p.fill = std::stoi(type.substr(open + 1));
    type = type.substr(0, open) + "[]";
  }
  if (type == "Tensor?[]") {
    p.none_items = true;
    type = "Tensor[]";
  }
  p.tensor_only = type == "Operand";
  bool found = false;
  for (const auto& t : kTypes)
    if (type == t.text) {
      p.type = t.type;
      p.shown = t.shown;
      found = true;
      break;
    }
  if (!found) bad_signature(whole, "unknown type '" + type + "'");
  if (!default_text.empty()) parse_default(whole, default_text, &p);
  p.interned = PyUnicode_InternFromString(p.name.c_str());
  return p;
}

}  // namespace

Signature::Signature(const Row* r) : row(r) {
  const std::string text = r->signature;
  const size_t open = text.find('('), arrow = text.rfind(") -> ");
  if (open == std::string::npos || arrow == std::string::npos)
    bad_signature(text, "needs the form name(...) -> result");
  name = text.substr(0, open);
  returns = text.substr(arrow + 5);
  std::string body = text.substr(open + 1, arrow - open - 1);
  bool kw_only = false;
  int depth = 0;
  std::string item;
  auto flush = [&] {
    item = trim(item);
    if (item == "*") {
      kw_only = true;
    } else if (!item.empty()) {
      params.push_back(parse_param(text, item));
      params.back().kw_only = kw_only;
    }
    item.clear();
  };
  for (char c : body) {
    if (c == '[') ++depth;
    if (c == ']') --depth;
    if (c == ',' && depth == 0)
      flush();
    else
      item += c;
  }
  flush();
  if (params.size() > kMaxArgs) bad_signature(text, "has too many parameters");
  is_method = !params.empty() && params[0].name == "self";
  for (const Param& p : params) {
    positional += !p.kw_only;
    takes_numbers |= p.type == ArgType::Number;
  }
  for (const char* row_name : kMovesBetweenDevices) moves_between_devices |= name == row_name;
  for (const char* row_name : kOfPairs)
    for (Param& p : params) p.pairs |= name == row_name;
  asks_classes = name[0] != '_' && name != "as_subclass";
  asks_batched = name != "_batched_among" && name != "_complex_among";
  for (const char* row_name : kDrawing) draws |= name == row_name;
  casts = ops::cast_policies(name);
}

}  // namespace ccdl::python
