// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace snap {

/// Whether check64_avx2() may be called here.
bool has_check_avx2();
/// XXH3 with 64 bits and a seed.
std::uint64_t check64_avx2(const void* bytes, std::size_t count, std::uint64_t seed);

}  // namespace snap
