// A Python-like number: bool, int or float, with the type it came as (it decides the promotion category).
#pragma once
#include <cstdint>
#include <ostream>

#include <ccdl/core/dtype.h>

namespace ccdl {

class Scalar {
 public:
  enum class Kind : uint8_t { Bool, Int, Float };
  Scalar() : i_(0), kind_(Kind::Int) {}
  Scalar(bool v) : i_(v), kind_(Kind::Bool) {}
  Scalar(int v) : i_(v), kind_(Kind::Int) {}
  Scalar(long v) : i_(v), kind_(Kind::Int) {}
  Scalar(long long v) : i_(v), kind_(Kind::Int) {}
  Scalar(double v) : d_(v), kind_(Kind::Float) {}
  Scalar(float v) : d_(v), kind_(Kind::Float) {}

  Kind kind() const { return kind_; }
  bool is_float() const { return kind_ == Kind::Float; }
  bool is_bool() const { return kind_ == Kind::Bool; }
  double to_double() const { return is_float() ? d_ : static_cast<double>(i_); }
  int64_t to_int() const { return is_float() ? static_cast<int64_t>(d_) : i_; }
  bool to_bool() const { return is_float() ? d_ != 0 : i_ != 0; }
  // The dtype a tensor made from it gets: bool, int64 or the default float type.
  DType dtype(DType default_float = DType::Float32) const {
    return kind_ == Kind::Bool ? DType::Bool : kind_ == Kind::Int ? DType::Int64 : default_float;
  }
  friend std::ostream& operator<<(std::ostream& out, const Scalar& s) {
    if (s.is_float()) return out << s.d_;
    if (s.is_bool()) return out << (s.i_ ? "True" : "False");
    return out << s.i_;
  }

 private:
  union {
    int64_t i_;
    double d_;
  };
  Kind kind_;
};

}  // namespace ccdl
