// The JSON header. The parser knows the one shape a header may have (an object of objects of strings and
// integer lists), so nesting is bounded by its own functions; anything else, duplicate keys included, is
// refused. Format: the public safetensors specification.
#include <ccdl/core/error.h>
#include <ccdl/core/view.h>
#include <ccdl/io/safetensors.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_set>

namespace ccdl::io {
namespace {

struct DTypeName {
  const char* name;
  DType dtype;
  bool supported;
};
constexpr DTypeName kDTypes[] = {
    {"BOOL", DType::Bool, true},   {"U8", DType::UInt8, true},      {"I8", DType::Int8, true},
    {"I16", DType::Int16, true},   {"I32", DType::Int32, true},     {"I64", DType::Int64, true},
    {"F16", DType::Float16, true}, {"BF16", DType::BFloat16, true}, {"F32", DType::Float32, true},
    {"F64", DType::Float64, true}, {"U16", DType::Bool, false},     {"U32", DType::Bool, false},
    {"U64", DType::Bool, false},   {"F8_E5M2", DType::Bool, false}, {"F8_E4M3", DType::Bool, false},
    {"C64", DType::Bool, false},
};

// A name as it may appear in a message: short and printable.
std::string shown(const std::string& name) {
  std::string out = "'";
  for (const char ch : name.substr(0, 80))
    out += static_cast<unsigned char>(ch) < 0x20 || ch == 0x7f ? '?' : ch;
  return out + (name.size() > 80 ? "...'" : "'");
}

class Parser {
 public:
  Parser(const char* text, size_t length, const std::string& where)
      : p_(text), begin_(text), end_(text + length), where_(where) {}

  SafetensorsHeader parse() {
    SafetensorsHeader header;
    std::unordered_set<std::string> names;
    if (p_ == end_ || *p_ != '{') bad("the header must begin with '{'");
    object([&](std::string key) {
      if (!names.insert(key).second) bad("duplicate key " + shown(key));
      if (key == "__metadata__") {
        header.metadata = metadata();
      } else {
        header.tensors.push_back(tensor(std::move(key)));
      }
    });
    blanks();
    if (p_ != end_) bad("trailing characters after the header object");
    return header;
  }

  [[noreturn]] void bad(const std::string& what) const {
    fail(ErrorKind::Checkpoint, str("safetensors: ", where_, ": ", what, " (header byte ", p_ - begin_, ")"));
  }

 private:
  void blanks() {
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\t' || *p_ == '\n' || *p_ == '\r')) ++p_;
  }
  char peek() {
    blanks();
    if (p_ == end_) bad("the header ends too early");
    return *p_;
  }
  void expect(char c) {
    if (peek() != c) bad(str("expected '", c, "'"));
    ++p_;
  }

  // { key: ..., ... }; each(key) parses the value.
  template <class F>
  void object(const F& each) {
    expect('{');
    if (peek() == '}') {
      ++p_;
      return;
    }
    for (;;) {
      if (peek() != '"') bad("expected a key");
      std::string key = string();
      expect(':');
      each(std::move(key));
      const char c = peek();
      ++p_;
      if (c == '}') return;
      if (c != ',') bad("expected ',' or '}'");
    }
  }

  std::vector<int64_t> integers(size_t limit, const char* what) {
    std::vector<int64_t> out;
    expect('[');
    if (peek() == ']') {
      ++p_;
      return out;
    }
    for (;;) {
      if (out.size() == limit) bad(str(what, " has more than ", limit, " entries"));
      out.push_back(integer());
      const char c = peek();
      ++p_;
      if (c == ']') return out;
      if (c != ',') bad("expected ',' or ']'");
    }
  }

  int64_t integer() {
    const char first = peek();
    if (first < '0' || first > '9') bad("expected a non-negative integer");
    int64_t value = 0;
    const char* from = p_;
    for (; p_ != end_ && *p_ >= '0' && *p_ <= '9'; ++p_) {
      if (__builtin_mul_overflow(value, int64_t{10}, &value) ||
          __builtin_add_overflow(value, int64_t{*p_ - '0'}, &value)) {
        bad("an integer exceeds 63 bits");
      }
    }
    if (first == '0' && p_ - from > 1) bad("an integer has a leading zero");
    if (p_ != end_ && (*p_ == '.' || *p_ == 'e' || *p_ == 'E')) bad("expected an integer, found a fraction");
    return value;
  }

  uint32_t hex4() {
    uint32_t v = 0;
    for (int i = 0; i < 4; ++i, ++p_) {
      if (p_ == end_) bad("a string ends too early");
      const char c = *p_;
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) bad("bad \\u escape");
      v = v * 16 + static_cast<uint32_t>(digit);
    }
    return v;
  }

  void append_utf8(std::string& out, uint32_t c) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += {static_cast<char>(0xc0 | c >> 6), static_cast<char>(0x80 | (c & 0x3f))};
    } else if (c < 0x10000) {
      out += {static_cast<char>(0xe0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3f)),
              static_cast<char>(0x80 | (c & 0x3f))};
    } else {
      out += {static_cast<char>(0xf0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3f)),
              static_cast<char>(0x80 | (c >> 6 & 0x3f)), static_cast<char>(0x80 | (c & 0x3f))};
    }
  }

  void escape(std::string& out) {
    if (p_ == end_) bad("a string ends too early");
    const char c = *p_++;
    const char* from = "\"\\/bfnrt";
    const char* to = "\"\\/\b\f\n\r\t";
    if (const char* at = c != '\0' ? std::strchr(from, c) : nullptr) {
      out += to[at - from];
      return;
    }
    if (c != 'u') bad("unknown escape in a string");
    uint32_t code = hex4();
    if (code >= 0xdc00 && code < 0xe000) bad("lone surrogate in a string");
    if (code >= 0xd800 && code < 0xdc00) {
      if (end_ - p_ < 2 || p_[0] != '\\' || p_[1] != 'u') bad("lone surrogate in a string");
      p_ += 2;
      const uint32_t low = hex4();
      if (low < 0xdc00 || low >= 0xe000) bad("lone surrogate in a string");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, code);
  }

  // Copies one UTF-8 sequence of several bytes; overlong forms, surrogates and stray bytes are refused.
  void utf8(std::string& out) {
    const auto lead = static_cast<unsigned char>(*p_);
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || end_ - p_ <= more) bad("a string is not valid UTF-8");
    uint32_t code = lead & (0x3f >> more);
    for (int i = 1; i <= more; ++i) {
      const auto c = static_cast<unsigned char>(p_[i]);
      if ((c & 0xc0) != 0x80) bad("a string is not valid UTF-8");
      code = code << 6 | (c & 0x3f);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      bad("a string is not valid UTF-8");
    out.append(p_, static_cast<size_t>(more) + 1);
    p_ += more + 1;
  }

  std::string string() {
    expect('"');
    std::string out;
    for (;;) {
      if (p_ == end_) bad("a string ends too early");
      const auto c = static_cast<unsigned char>(*p_);
      if (c == '"') {
        ++p_;
        return out;
      }
      if (c < 0x20) bad("control character in a string");
      if (c == '\\') {
        ++p_;
        escape(out);
      } else if (c >= 0x80) {
        utf8(out);
      } else {
        out += static_cast<char>(c);
        ++p_;
      }
    }
  }

  StringMap metadata() {
    StringMap out;
    std::unordered_set<std::string> keys;
    object([&](std::string key) {
      if (!keys.insert(key).second) bad("duplicate metadata key " + shown(key));
      if (peek() != '"') bad("metadata " + shown(key) + " must be a string");
      out.emplace_back(std::move(key), string());
    });
    return out;
  }

  TensorEntry tensor(std::string name) {
    TensorEntry entry;
    entry.name = std::move(name);
    bool dtype = false, shape = false, offsets = false;
    object([&](const std::string& key) {
      if (key == "dtype" && !dtype) {
        dtype = true;
        entry.dtype = parse_dtype(entry.name);
      } else if (key == "shape" && !shape) {
        shape = true;
        entry.shape = integers(kMaxDims, "the shape");
      } else if (key == "data_offsets" && !offsets) {
        offsets = true;
        const std::vector<int64_t> pair = integers(2, "data_offsets");
        if (pair.size() != 2) bad("data_offsets of tensor " + shown(entry.name) + " must be two integers");
        entry.begin = pair[0];
        entry.end = pair[1];
      } else {
        bad("tensor " + shown(entry.name) + " has an unknown or repeated field " + shown(key));
      }
    });
    if (!dtype || !shape || !offsets)
      bad("tensor " + shown(entry.name) + " lacks dtype, shape or data_offsets");
    return entry;
  }

  DType parse_dtype(const std::string& name) {
    if (peek() != '"') bad("dtype of tensor " + shown(name) + " must be a string");
    const std::string text = string();
    for (const DTypeName& d : kDTypes) {
      if (text != d.name) continue;
      if (!d.supported) bad("tensor " + shown(name) + " has dtype " + text + ", which ccdl has no type for");
      return d.dtype;
    }
    bad("tensor " + shown(name) + " has unknown dtype " + shown(text));
  }

  const char* p_;
  const char* begin_;
  const char* end_;
  const std::string& where_;
};

void check_layout(const std::vector<TensorEntry>& tensors, int64_t data_bytes, const std::string& where) {
  const auto bad = [&where](const TensorEntry& e, const std::string& what) {
    fail(ErrorKind::Checkpoint, str("safetensors: ", where, ": tensor ", shown(e.name), " ", what));
  };
  for (const TensorEntry& e : tensors) {
    if (e.begin > e.end || e.end > data_bytes) {
      bad(e, str("has data_offsets [", e.begin, ", ", e.end, "] outside the data section of ", data_bytes,
                 " bytes"));
    }
    int64_t bytes = item_size(e.dtype);
    bool zero = false;
    for (const int64_t s : e.shape) {
      zero = zero || s == 0;
      if (s != 0 && __builtin_mul_overflow(bytes, s, &bytes))
        bad(e, "has a shape whose size exceeds 63 bits");
    }
    if (zero) bytes = 0;
    if (bytes != e.bytes())
      bad(e, str("needs ", bytes, " bytes by dtype and shape but its data_offsets hold ", e.bytes()));
  }
  std::vector<const TensorEntry*> order;
  order.reserve(tensors.size());
  for (const TensorEntry& e : tensors) order.push_back(&e);
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  int64_t at = 0;
  for (const TensorEntry* e : order) {
    if (e->begin < at) bad(*e, str("overlaps another tensor at byte ", e->begin));
    if (e->begin > at) bad(*e, str("leaves a hole: bytes ", at, " to ", e->begin, " belong to no tensor"));
    at = e->end;
  }
  CCDL_CHECK(at == data_bytes, Checkpoint, "safetensors: ", where, ": the data section has ", data_bytes,
             " bytes but the tensors cover ", at);
}

}  // namespace

const char* safetensors_dtype(DType dtype) {
  for (const DTypeName& d : kDTypes) {
    if (d.supported && d.dtype == dtype) return d.name;
  }
  fail(ErrorKind::Type, str("safetensors: dtype ", dtype_name(dtype), " cannot be stored"));
}

SafetensorsHeader parse_safetensors_header(const char* json, size_t length, int64_t data_bytes,
                                           const std::string& where) {
  SafetensorsHeader header = Parser(json, length, where).parse();
  check_layout(header.tensors, data_bytes, where);
  return header;
}

}  // namespace ccdl::io
