// Vector types of the CUDA headers for the emulated build, with their sizes and alignments.
#pragma once

#define CCDL_EMU_VECTOR2(T, name, align) \
  struct alignas(align) name {           \
    T x, y;                              \
  };                                     \
  inline name make_##name(T x, T y) { return name{x, y}; }
#define CCDL_EMU_VECTOR3(T, name) \
  struct name {                   \
    T x, y, z;                    \
  };                              \
  inline name make_##name(T x, T y, T z) { return name{x, y, z}; }
#define CCDL_EMU_VECTOR4(T, name, align) \
  struct alignas(align) name {           \
    T x, y, z, w;                        \
  };                                     \
  inline name make_##name(T x, T y, T z, T w) { return name{x, y, z, w}; }
#define CCDL_EMU_VECTORS(T, name)             \
  CCDL_EMU_VECTOR2(T, name##2, 2 * sizeof(T)) \
  CCDL_EMU_VECTOR3(T, name##3)                \
  CCDL_EMU_VECTOR4(T, name##4, (sizeof(T) < 4 ? 4 * sizeof(T) : 16))

CCDL_EMU_VECTORS(signed char, char)
CCDL_EMU_VECTORS(unsigned char, uchar)
CCDL_EMU_VECTORS(short, short)
CCDL_EMU_VECTORS(unsigned short, ushort)
CCDL_EMU_VECTORS(int, int)
CCDL_EMU_VECTORS(unsigned, uint)
CCDL_EMU_VECTORS(long long, longlong)
CCDL_EMU_VECTORS(unsigned long long, ulonglong)
CCDL_EMU_VECTORS(float, float)
CCDL_EMU_VECTORS(double, double)

#undef CCDL_EMU_VECTORS
#undef CCDL_EMU_VECTOR4
#undef CCDL_EMU_VECTOR3
#undef CCDL_EMU_VECTOR2

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return uint3{x, y, z}; }
};
