// Bodies of the tensor-core wrappers (device/ptx_mma.cuh) with the lane maps of the PTX ISA. Products are
// formed and added one after another in float, k ascending: hardware adds them in another order and with
// fewer guard bits, which tests must tolerate.
#pragma once
#include <emulator/device.h>

#include <ccdl/core/dtype.h>

namespace ccdl::emu {

// lane 8m + i brings row i of matrix m
inline void ldmatrix(uint32_t* r, int count, bool trans, const void* row, const char* file = __builtin_FILE(),
                     int line = __builtin_LINE()) {
  struct Payload {
    uint16_t row[8];
    uint32_t out[4];
  } payload{};
  if (detail::lane() < 8 * count) load(payload.row, row, 16, 16);
  warp_meet(
      "ldmatrix", 0xffffffffu, payload,
      [count, trans](Payload* const* slots) {
        for (int lane = 0; lane < 32; ++lane)
          for (int m = 0; m < count; ++m) {
            const int g = lane / 4, t = lane % 4;
            const uint16_t lo = trans ? slots[8 * m + 2 * t]->row[g] : slots[8 * m + g]->row[2 * t];
            const uint16_t hi = trans ? slots[8 * m + 2 * t + 1]->row[g] : slots[8 * m + g]->row[2 * t + 1];
            slots[lane]->out[m] = lo | static_cast<uint32_t>(hi) << 16;
          }
      },
      file, line);
  for (int m = 0; m < count; ++m) r[m] = payload.out[m];
}

template <class T>
inline float mma_element(uint32_t reg, int half) {
  T v;
  v.bits = static_cast<uint16_t>(reg >> (16 * half));
  return static_cast<float>(v);
}
// The tensor cores ignore the low 13 bits of a tf32 operand.
template <>
inline float mma_element<float>(uint32_t reg, int) {
  return std::bit_cast<float>(reg & 0xffffe000u);
}

template <class T>
inline void mma_m16n8(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                      const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  constexpr int kPack = sizeof(T) == 4 ? 1 : 2, kK = 8 * kPack;
  struct Payload {
    uint32_t a[4], b[2];
    float d[4];
  } payload{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
  warp_meet(
      "mma", 0xffffffffu, payload,
      [](Payload* const* slots) {
        float x[16][kK], w[8][kK];
        for (int lane = 0; lane < 32; ++lane)
          for (int reg = 0; reg < 4; ++reg)
            for (int e = 0; e < kPack; ++e) {
              const int g = lane / 4, k = lane % 4 * kPack + reg / 2 * (kK / 2) + e;
              x[g + reg % 2 * 8][k] = mma_element<T>(slots[lane]->a[reg], e);
              if (reg < 2)
                w[g][lane % 4 * kPack + reg * (kK / 2) + e] = mma_element<T>(slots[lane]->b[reg], e);
            }
        for (int lane = 0; lane < 32; ++lane)
          for (int i = 0; i < 4; ++i) {
            const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float sum = slots[lane]->d[i];
            for (int k = 0; k < kK; ++k) sum += x[row][k] * w[column][k];
            slots[lane]->d[i] = sum;
          }
      },
      file, line);
  for (int i = 0; i < 4; ++i) d[i] = payload.d[i];
}

inline void mma_m8n8k4(double (&d)[2], double a, double b, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  struct Payload {
    double a, b, d[2];
  } payload{a, b, {d[0], d[1]}};
  warp_meet(
      "mma", 0xffffffffu, payload,
      [](Payload* const* slots) {
        for (int lane = 0; lane < 32; ++lane)
          for (int i = 0; i < 2; ++i)
            for (int k = 0; k < 4; ++k)
              slots[lane]->d[i] = std::fma(slots[lane / 4 * 4 + k]->a, slots[(lane % 4 * 2 + i) * 4 + k]->b,
                                           slots[lane]->d[i]);
      },
      file, line);
  d[0] = payload.d[0];
  d[1] = payload.d[1];
}

inline uint32_t round_to_tf32(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits & 0xffffe000u ? bits & 0xffffe000u : 0x7fffe000u;
  return (bits + 0x1000u) & 0xffffe000u;
}

}  // namespace ccdl::emu
