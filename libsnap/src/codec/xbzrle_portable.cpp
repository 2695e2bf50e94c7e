// SPDX-License-Identifier: Apache-2.0
// XBZRLE for any processor: eight bytes at a time in a register.
#include "codec/xbzrle_runs.h"
#include "codec/xbzrle_versions.h"

namespace snap {

namespace {

struct Portable {
  static constexpr std::size_t kTailBytes = 32;

  static std::uint64_t load(const std::uint8_t* from) {
    std::uint64_t word;
    __builtin_memcpy(&word, from, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
  }
  // One bit for each byte that is not zero: its highest is set, then all are gathered.
  static std::uint64_t eight(std::uint64_t differs) {
    constexpr std::uint64_t low = 0x7F7F7F7F7F7F7F7F;
    const std::uint64_t high = (((differs & low) + low) | differs) & ~low;
    return (high >> 7) * 0x0102040810204080 >> 56;
  }
  static std::uint64_t changed(const std::uint8_t* a, const std::uint8_t* b) {
    std::uint64_t differs[8];
    std::uint64_t any = 0;
    for (std::size_t i = 0; i < 8; ++i) any |= differs[i] = load(a + i * 8) ^ load(b + i * 8);
    if (any == 0) return 0;
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 8; ++i) bits |= eight(differs[i]) << i * 8;
    return bits;
  }
  static void find_flips(Steps& steps, std::size_t count, std::uint64_t in_run) { find_flips_one_by_one(steps, count, in_run); }
  static void copy(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) {
    for (std::size_t at = 0; at < bytes; at += 32) __builtin_memcpy(to + at, from + at, 32);
  }
  static void patch(std::uint8_t* to, const std::uint8_t* from, std::size_t bytes) { __builtin_memcpy(to, from, bytes); }
};

}  // namespace

const XbzrleCode kXbzrlePortable{encode_runs<Portable>, decode_runs<Portable>};

}  // namespace snap
