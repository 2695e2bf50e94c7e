// SPDX-License-Identifier: Apache-2.0
// XBZRLE for processors with AVX2.
#include "codec/xbzrle_versions.h"

#if defined(__x86_64__) && defined(__AVX2__)

#include <immintrin.h>

#include "codec/xbzrle_runs.h"

namespace snap {

namespace {

struct Avx2 {
  static constexpr std::size_t kTailBytes = kStep;

  static __m256i load(const std::uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void store(std::uint8_t* to, __m256i value) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value); }
  static std::uint64_t equal_half(const std::uint8_t* before, const std::uint8_t* after) {
    return static_cast<std::uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(load(before), load(after))));
  }
  static std::uint64_t changed(const std::uint8_t* before, const std::uint8_t* after) {
    return ~(equal_half(before, after) | equal_half(before + 32, after + 32) << 32);
  }
  static void find_flips(Steps& steps, std::size_t count, std::uint64_t in_run) { find_flips_one_by_one(steps, count, in_run); }

  static void copy(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) {
    std::size_t at = 0;
    do {
      const __m256i low = load(from + at);
      const __m256i high = load(from + at + 32);
      store(to + at, low);
      store(to + at + 32, high);
      at += kStep;
    } while (at < bytes);
  }
  // What comes behind is the old page's and stays: there is no store of part of a register here that would not cost more.
  static void patch(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) { __builtin_memcpy(to, from, bytes); }
};

constexpr XbzrleCode kCode{encode_runs<Avx2>, decode_runs<Avx2>};

}  // namespace

const XbzrleCode* xbzrle_avx2() noexcept {
  const bool there = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
                     __builtin_cpu_supports("popcnt");
  return there ? &kCode : nullptr;
}

}  // namespace snap

#else

namespace snap {
const XbzrleCode* xbzrle_avx2() noexcept { return nullptr; }
}  // namespace snap

#endif
