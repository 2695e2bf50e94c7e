// SPDX-License-Identifier: Apache-2.0
#include "base/bytes.h"

#include "format/limits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace snap {

namespace {

bool is_zero_tail(const std::byte* at, std::size_t left) {
  for (; left != 0; --left) {
    if (*at++ != std::byte{0}) return false;
  }
  return true;
}

// Most pages that are not zero show it early, so no stretch is long; whole stretches go without a branch each.
bool is_zero_portable(const std::byte* at, std::size_t left) {
  for (; left >= 64; at += 64, left -= 64) {
    std::uint64_t words[8];
    std::memcpy(words, at, sizeof words);
    if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) != 0) return false;
  }
  return is_zero_tail(at, left);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) bool is_zero_avx2(const std::byte* at, std::size_t left) {
  for (; left >= 128; at += 128, left -= 128) {
    const auto* from = reinterpret_cast<const __m256i*>(at);
    const __m256i low = _mm256_or_si256(_mm256_loadu_si256(from), _mm256_loadu_si256(from + 1));
    const __m256i high = _mm256_or_si256(_mm256_loadu_si256(from + 2), _mm256_loadu_si256(from + 3));
    const __m256i all = _mm256_or_si256(low, high);
    if (_mm256_testz_si256(all, all) == 0) return false;
  }
  return is_zero_portable(at, left);
}
#endif

}  // namespace

bool is_zero(std::span<const std::byte> bytes) {
#if defined(__x86_64__)
  static const bool avx2 = __builtin_cpu_supports("avx2") != 0;
  if (avx2) return is_zero_avx2(bytes.data(), bytes.size());
#endif
  return is_zero_portable(bytes.data(), bytes.size());
}

void xor_page(std::byte* page, const std::byte* other) {
  for (std::size_t at = 0; at < format::kPageBytes; ++at) page[at] ^= other[at];
}

}  // namespace snap
